import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import SEQUENCES, SequencePrior  # noqa: E402
from uad_data.corruptions.lesions.sequences import draw_contrast  # noqa: E402
from uad_data.errors import InputError  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def drawn(*names: str, b: int = 4000) -> "torch.Tensor":
    return draw_contrast([SEQUENCES[name] for name in names], (b, len(names)), seeded(), torch.device("cpu"))


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_sign_and_strength_follow_the_prior(name: str) -> None:
    prior, level = SEQUENCES[name], drawn(name)
    bright = level > 1
    assert float(bright.float().mean()) == pytest.approx(prior.share_bright, abs=0.03)
    for found, (low, high) in ((level[bright], prior.bright), (level[~bright], prior.dark)):
        assert low - 1e-6 <= float(found.min()) < float(found.max()) <= high + 1e-6
        # Faint ones are more frequent: the one nearer to 1.
        middle = (low + high) / 2
        assert float(((found - 1).abs() < abs(middle - 1)).float().mean()) > 0.6


def test_signs_of_sequences_go_together() -> None:
    bright = drawn("flair", "t2", "t1") > 1
    assert torch.equal(bright[:, 0], bright[:, 1])
    assert torch.equal(bright[:, 0], ~bright[:, 2])


def test_one_prior_serves_all_channels_and_a_wrong_number_is_refused() -> None:
    level = draw_contrast([SEQUENCES["flair"]], (50, 3), seeded(), torch.device("cpu"))
    assert level.shape == (50, 3)
    assert not torch.equal(level[:, 0], level[:, 1])
    with pytest.raises(InputError, match="expected 1 or 3, one for each channel of the image, got 2"):
        draw_contrast([SEQUENCES["flair"]] * 2, (50, 3), seeded(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ((1.5, (1.2, 2), (0.3, 0.8)), "share_bright"),
        ((0.5, (0.9, 2), (0.3, 0.8)), "bright"),
        ((0.5, (1.2, 2), (0, 0.8)), "dark"),
    ],
)
def test_impossible_priors_are_refused(prior: tuple, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}: expected"):
        SequencePrior(*prior)
