import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import gaussian_noise  # noqa: E402


@pytest.mark.parametrize("size", [(64, 64), (16, 24, 24)])
def test_normal_of_the_stated_spread_inside_the_brain(size: tuple[int, ...]) -> None:
    brain = torch.zeros(4, 1, *size, dtype=torch.bool)
    brain[..., 4:-4] = True
    image = torch.full((4, 2, *size), 0.5)
    added = gaussian_noise(image, brain, sd=0.3, generator=torch.Generator().manual_seed(0)) - image
    inside = brain.expand_as(added)
    assert not added[~inside].any()
    assert float(added[inside].mean()) == pytest.approx(0, abs=0.01)
    assert float(added[inside].std()) == pytest.approx(0.3, rel=0.02)
    # Neighbours and channels are independent.
    assert abs(float((added[..., 8:-8] * added[..., 9:-7]).mean())) < 0.01 * 0.3
    assert abs(float((added[:, 0] * added[:, 1]).mean())) < 0.03 * 0.3
