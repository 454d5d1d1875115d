import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import blur_noise  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def noisy() -> tuple["torch.Tensor", "torch.Tensor"]:
    image, brain = flat((96, 96))
    return image + 0.05 * torch.randn(image.shape, generator=seeded(1)) * brain, brain


def test_blur_takes_noise_away_and_keeps_the_mean() -> None:
    image, brain = noisy()
    result = blur_noise(image, brain, blurred=1.0, smallest=300, generator=seeded())
    inside = result.soft > 0.98
    assert float(result.image[inside].std()) < 0.02
    assert float(result.image[inside].mean()) == pytest.approx(float(image[inside].mean()), abs=0.01)
    assert torch.equal(result.mask, result.soft >= 0.5)
    assert torch.equal(result.image[result.soft == 0], image[result.soft == 0])


def test_noise_has_the_stated_strength() -> None:
    image, brain = flat((96, 96))
    result = blur_noise(image, brain, blurred=0.0, smallest=600, noise=(0.1, 0.1), generator=seeded())
    inside = result.soft > 0.98
    assert float(result.image[inside].std()) == pytest.approx(0.05, rel=0.1)


def test_an_image_is_either_blurred_or_noisier() -> None:
    image, brain = noisy()
    result = blur_noise(image, brain, smallest=300, generator=seeded())
    spread = torch.tensor([float(x[s > 0.98].std()) for x, s in zip(result.image, result.soft, strict=True)])
    assert (spread < 0.03).any()
    assert (spread > 0.06).any()
