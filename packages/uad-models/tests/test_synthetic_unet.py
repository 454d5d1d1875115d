"""The synthetic-lesion U-Net beyond the contract: what it is trained on, what it is chosen by, what it gives."""

import pytest
import torch

from uad_data.arrays import ArraySpec
from uad_data.corruptions.lesions import lesion_mix
from uad_data.errors import InputError
from uad_models.methods.synthetic_unet import SyntheticUNet, SyntheticUNetConfig
from uad_models.registry import create
from uad_models.training import resolve

SMALL = {"size": (32, 32), "channels": (8, 8), "fold": 1}


def batch(n: int = 8) -> dict[str, torch.Tensor]:
    brain = torch.zeros(n, 1, 32, 32, dtype=torch.bool)
    brain[:, :, 4:28, 5:27] = True
    image = (0.5 + 0.05 * torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(0))) * brain
    return {"image": image, "brain": brain}


def kinds_used(method: SyntheticUNet, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    used: set[str] = set()
    for kind, function in lesion_mix.KINDS.items():

        def spy(*args, _kind=kind, _function=function, **options):
            used.add(_kind)
            return _function(*args, **options)

        monkeypatch.setitem(lesion_mix.KINDS, kind, spy)
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        method.loss(batch(), generator=generator)
    return set(used)


def test_it_is_chosen_by_kinds_that_it_was_not_trained_on(monkeypatch) -> None:
    method = create("synthetic_unet", **SMALL)
    trained = kinds_used(method.train(), monkeypatch)
    chosen = kinds_used(method.eval(), monkeypatch)
    assert chosen == {"intensity_shift"}
    assert trained
    assert not trained & chosen


def test_the_map_is_a_probability_that_does_not_know_left_from_right() -> None:
    torch.manual_seed(0)
    method = create("synthetic_unet", **SMALL).eval()
    x = batch()["image"]
    with torch.no_grad():
        found = method.anomaly_map(x)
        assert torch.equal(method.anomaly_map(x.flip(-1)), found.flip(-1))
        assert torch.allclose(method.anomaly_score(x), found.sum(dim=(1, 2, 3)))
    assert ((found >= 0) & (found <= 1)).all()


def test_the_sequences_of_the_images_decide_how_lesions_look() -> None:
    spec = ArraySpec(size=(32, 32), modalities=("t1", "flair"))
    config, _ = resolve("synthetic_unet", spec)
    assert config.modalities == ("t1", "flair")
    assert config.in_channels == 2
    with pytest.raises(InputError, match="modalities follows from the images"):
        resolve("synthetic_unet", spec, config={"modalities": ("flair", "flair")})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (12,)}, "multiples of 8"),
        ({"modalities": ("pet",)}, "expected some of .*got 'pet'"),
        ({"modalities": ("t1", "t2")}, "one name, or 1"),
        ({"held_out": ("blob",)}, "lesion kind 'blob'"),
        ({"restoration": -1.0}, "restoration"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticUNetConfig(**{"size": (32, 32), **settings})
