import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import SequencePrior, intensity_shift  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def test_intensity_and_contrast_change_inside_and_the_label_says_how_visibly() -> None:
    image, brain = flat((96, 96))
    image += 0.05 * torch.randn(image.shape, generator=seeded(1)) * brain
    prior = (SequencePrior(1.0, (1.5, 1.5), (0.5, 0.5)),)
    result = intensity_shift(
        image, brain, smallest=900, sequences=prior, contrast=(0.2, 0.2), drift=0.0, generator=seeded()
    )
    change = result.image - image
    inside = result.soft > 0.999
    assert float(result.image[inside].mean()) > 0.62
    deep = change > 0.2
    assert deep.any()
    assert (result.mask[deep]).float().mean() > 0.95
    # Contrast of a fifth, at one and a half of the intensity.
    spreads = [
        float(x[s].std()) for x, s in zip(result.image[:, 0], (change > 0.24)[:, 0], strict=True) if s.sum() > 50
    ]
    assert sorted(spreads)[len(spreads) // 2] < 0.045
    assert torch.equal(result.mask, result.soft >= 0.5)
    assert not result.soft[change == 0].ge(0.5).any()


def test_edges_are_as_wide_as_stated_and_intensity_drifts() -> None:
    image, brain = flat((96, 96))
    prior = (SequencePrior(1.0, (1.5, 1.5), (0.5, 0.5)),)
    options = {"smallest": 900, "sequences": prior, "contrast": (1.0, 1.0)}
    inner = brain[..., 1:, :] & brain[..., :-1, :]

    def steepest(width: float) -> float:
        result = intensity_shift(image, brain, **options, border=(width, width), drift=0.0, generator=seeded())
        return float((result.image.diff(dim=-2).abs() * inner).max())

    assert steepest(0.5) > 0.24
    assert steepest(10.0) < 0.15
    still, drifting = (intensity_shift(image, brain, **options, drift=d, generator=seeded()).image for d in (0.0, 0.1))
    assert float(drifting.max()) > float(still.max()) + 0.03
