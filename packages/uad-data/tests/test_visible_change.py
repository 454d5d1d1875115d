import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.lesions.visible_change import visible_change  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_rises_with_the_change_whatever_the_scale_and_is_0_without_one(scale: float) -> None:
    image, brain = flat((48, 48), b=5, value=scale)
    after = image.clone()
    for i, change in enumerate((0.0, 0.02, 0.12, 0.25, -0.25)):
        after[i, :, 16:32, 16:32] *= 1 + change
    rated = visible_change(image, after, brain.float())
    middle = rated[:, 0, 24, 24].tolist()
    assert middle[0] == 0
    assert middle[1] < 0.05
    assert middle[2] == pytest.approx(0.5, abs=0.02)
    assert middle[3] > 0.95
    assert middle[4] == pytest.approx(middle[3])
    assert not rated[:, :, :10].any()
    assert not rated[~brain].any()


def test_the_channel_that_changes_most_counts() -> None:
    image, brain = flat((32, 32), b=1, c=2)
    after = image.clone()
    after[:, 1] *= 1.5
    assert float(visible_change(image, after, brain.float())[0, 0, 16, 16]) > 0.95
