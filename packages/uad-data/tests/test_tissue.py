import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.lesions.tissue import brain_mean, tissue_share  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def test_mean_is_of_the_brain_alone() -> None:
    image, inside = torch.full((2, 1, 4, 4), 9.0), torch.zeros(2, 1, 4, 4)
    inside[0, :, :2], image[0, :, :2] = 1, 2.0
    assert float(brain_mean(image, inside)[0]) == 2
    # An empty brain has none, but may be divided by.
    assert float(brain_mean(image, inside)[1]) > 0


@pytest.mark.parametrize(
    ("fluid", "grey", "white"), [(0.15, 0.65, 0.55), (1.0, 0.45, 0.35), (0.25, 0.6, 0.95), (0.1, 0.48, 0.4)]
)
def test_fluid_is_told_in_flair_t2_t1_and_ct(fluid: float, grey: float, white: float) -> None:
    image = torch.full((1, 1, 10, 10), grey)
    image[..., 5:, :], image[..., 0, :] = white, fluid
    share = tissue_share(image, torch.ones_like(image))
    assert float(share[..., 1:, :].min()) > 0.9
    assert float(share[..., 0, :].max()) < 0.4
