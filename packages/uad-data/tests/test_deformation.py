import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import SequencePrior, deformation  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


ALONE = {"growth": 0.0, "size": (0.2, 0.2)}


def ramp(size: tuple[int, ...], b: int = 30) -> tuple["torch.Tensor", "torch.Tensor"]:
    _, brain = flat(size, b)
    return torch.linspace(1, 2, size[-1]).expand(b, 1, *size) * brain, brain


@pytest.mark.parametrize(("size", "b"), [((64, 64), 30), ((24, 32, 32), 6)])
def test_pushing_stretches_the_middle_and_pulling_shrinks_it(size: tuple[int, ...], b: int) -> None:
    image, brain = ramp(size, b)
    slope = float(image.diff(dim=-1)[brain[..., 1:] & brain[..., :-1]].median())
    for pushing, is_stretched in ((1.0, True), (0.0, False)):
        result = deformation(image, brain, **ALONE, pushing=pushing, generator=seeded())
        for before, after, inside in zip(image, result.image, brain, strict=True):
            moved = (before != after) & inside
            centre = moved.nonzero().float().mean(0).round().long()[1:]
            row = after[(0, *centre[:-1])]
            step = float(row[centre[-1] + 1] - row[centre[-1] - 1]) / 2
            full = moved.sum() > 0.19 * inside.sum()
            if full:
                assert (step < slope) == is_stretched


def test_nothing_moves_at_the_edge_and_new_values_come_from_nearby() -> None:
    image, brain = ramp((64, 64))
    result = deformation(image, brain, **ALONE, generator=seeded())
    assert float(result.image[brain].min()) >= float(image[brain].min())
    assert float(result.image.max()) <= float(image.max())
    inner = brain[..., 1:] & brain[..., :-1]
    # Nowhere torn: steps stay small against the range of 1.
    assert float(result.image.diff(dim=-1)[inner].abs().max()) < 0.12
    assert not deformation(*flat((64, 64)), **ALONE, generator=seeded()).soft.any()


def test_a_growth_fills_the_middle_with_its_sequences_contrast() -> None:
    image, brain = flat((64, 64))
    prior = (SequencePrior(1.0, (1.6, 1.6), (0.5, 0.5)),)
    result = deformation(image, brain, pushing=1.0, growth=1.0, size=(0.1, 0.2), sequences=prior, generator=seeded())
    assert result.mask.flatten(1).any(1).all()
    assert float(result.image[result.soft > 0.98].median()) == pytest.approx(0.8, rel=0.05)
    half = deformation(image, brain, pushing=1.0, growth=0.5, size=(0.1, 0.2), sequences=prior, generator=seeded())
    assert 0.25 < float(half.mask.flatten(1).any(1).float().mean()) < 0.75
