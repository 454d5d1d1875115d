import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import cut_paste  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def numbered(b: int = 20) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Each voxel has its own value, so that it can be followed."""
    _, brain = flat((64, 64), b)
    return (torch.arange(64.0 * 64).view(64, 64) + 1).expand(b, 1, 64, 64) * brain, brain


@pytest.mark.parametrize("scars", [0.0, 1.0])
def test_a_piece_of_the_brain_is_moved_as_it_is(scars: float) -> None:
    image, brain = numbered()
    result = cut_paste(image, brain, scars=scars, jitter=0.0, generator=seeded())
    grid = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij"), dim=-1)
    sizes = []
    for before, after, inside in zip(image[:, 0], result.image[:, 0], brain[:, 0], strict=True):
        pasted = before != after
        sizes.append(int(pasted.sum()) / int(inside.sum()))
        source = grid.flatten(0, 1)[after[pasted].long() - 1]
        assert len((source - grid[pasted]).unique(dim=0)) == 1
        assert inside[source[:, 0], source[:, 1]].all()
    assert max(sizes) <= (0.17 if scars == 0 else 0.06)
    assert result.soft[~result.mask].lt(0.5).all()


def test_jitter_changes_the_pasted_intensity() -> None:
    image, brain = flat((64, 64))
    assert torch.equal(cut_paste(image, brain, jitter=0.0, generator=seeded()).image, image)
    level = cut_paste(image, brain, jitter=0.1, generator=seeded()).image[brain] / 0.5
    assert 0.899 < float(level.min()) < 0.93
    assert 1.07 < float(level.max()) < 1.101
