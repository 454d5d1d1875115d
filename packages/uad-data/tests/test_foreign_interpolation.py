import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import foreign_interpolation  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def test_is_the_stated_mean_of_own_and_foreign() -> None:
    image, brain = flat((64, 64), 8)
    image *= torch.rand(image.shape, generator=seeded(1)) + 0.5
    foreign = torch.rand(image.shape, generator=seeded(2)) + 0.1
    result = foreign_interpolation(image, brain, foreign=foreign, generator=seeded())
    torch.testing.assert_close(result.image, image + result.soft * (foreign - image))
    assert (result.soft.flatten(1).amax(1) <= 0.951).all()
    assert (result.mask & (result.soft == 0)).sum() == 0


def test_the_hard_label_is_where_the_change_is_visible_and_both_are_brain() -> None:
    image, brain = flat((64, 64), 2)
    foreign = image.clone()
    foreign[..., 32:] = 0.9
    foreign[..., :10] = 0
    options = {"alpha": (0.9, 0.9), "smallest": 800, "foreign": foreign}
    result = foreign_interpolation(image, brain, **options, generator=seeded())
    assert result.mask[..., 34:].any()
    assert not result.mask[..., :30].any()
    assert not result.soft[..., :10].any()


def test_shows_another_image_of_the_batch() -> None:
    image, brain = flat((64, 64), 2)
    image[1] *= 1.5
    result = foreign_interpolation(image, brain, alpha=(0.9, 0.9), smallest=300, generator=seeded())
    assert float(result.image[0].max()) == pytest.approx(0.725, abs=0.01)
    assert float(result.image[1][brain[1]].min()) == pytest.approx(0.525, abs=0.01)
