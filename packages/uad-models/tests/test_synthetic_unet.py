"""The synthetic-lesion U-Net beyond the contract: what it is trained on, what it is chosen by, what it gives."""

import math

import pytest
import torch

from uad_data.arrays import ArraySpec
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.lesions import lesion_mix
from uad_data.errors import InputError
from uad_models.methods import synthetic_unet
from uad_models.methods.synthetic_unet import SyntheticUNetConfig
from uad_models.registry import create
from uad_models.training import resolve

SMALL = {"size": (32, 32), "channels": (8, 8), "fold": 1, "coarse": 1}
SLABS = {**SMALL, "size": (7, 32, 32), "slab": 3}


def batch(n: int = 8) -> dict[str, torch.Tensor]:
    brain = torch.zeros(n, 1, 32, 32, dtype=torch.bool)
    brain[:, :, 4:28, 5:27] = True
    image = (0.5 + 0.05 * torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(0))) * brain
    return {"image": image, "brain": brain}


def test_it_is_chosen_by_kinds_that_it_was_not_trained_on(kinds_used) -> None:
    method = create("synthetic_unet", **SMALL)
    trained = kinds_used(method.train(), batch())
    chosen = kinds_used(method.eval(), batch())
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


def volumes(n: int = 2) -> dict[str, torch.Tensor]:
    flat = batch(7 * n)
    image = flat["image"].unflatten(0, (n, 7)).transpose(1, 2)
    return {"image": image, "brain": flat["brain"].unflatten(0, (n, 7)).transpose(1, 2)}


def test_a_slab_network_sees_each_slice_with_its_neighbours_and_no_others() -> None:
    torch.manual_seed(0)
    method = create("synthetic_unet", **SLABS).eval()
    x = volumes()["image"]
    changed = x.clone()
    changed[:, :, 5] *= 1.5
    with torch.no_grad():
        before, after = method.anomaly_map(x), method.anomaly_map(changed)
    assert before.shape == (2, 1, 7, 32, 32)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    for slice_ in (4, 5, 6):
        assert not torch.equal(before[:, :, slice_], after[:, :, slice_])


def test_a_slab_network_is_trained_on_slabs_with_brain_in_their_middle(monkeypatch) -> None:
    method, seen = create("synthetic_unet", **SLABS), []
    mixing = synthetic_unet.mix_lesions
    monkeypatch.setattr(
        synthetic_unet, "mix_lesions", lambda image, brain, **more: seen.append(brain) or mixing(image, brain, **more)
    )
    given = volumes(4)
    given["brain"][:, :, :4] = False
    for seed in range(8):
        loss = method.loss(given, generator=torch.Generator().manual_seed(seed))["loss"]
        assert torch.isfinite(loss)
    brains = torch.cat(seen)
    assert brains.shape == (32, 1, 3, 32, 32)
    assert brains[:, 0, 1].flatten(1).any(dim=1).all()
    assert len({tuple(each[0].flatten(1).any(dim=1).tolist()) for each in brains}) > 1


def by_hand(found: torch.Tensor, lesion: torch.Tensor, inside: torch.Tensor) -> tuple[float, float]:
    """Cross-entropy and Dice, voxel by voxel."""
    crossed = hits = marked = truly = voxels = 0.0
    for z, y, w in zip(found.flatten().tolist(), lesion.flatten().tolist(), inside.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        crossed -= w * (y * math.log(p) + (1 - y) * math.log(1 - p))
        hits, marked, truly, voxels = hits + w * p * y, marked + w * p, truly + y, voxels + w
    return crossed / voxels, 1 - (2 * hits + 1) / (marked + truly + 1)


@pytest.mark.parametrize("label", ["hard", "soft"])
def test_the_loss_is_the_mean_over_resolutions_of_cross_entropy_and_dice(label, monkeypatch) -> None:
    torch.manual_seed(0)
    method, given = create("synthetic_unet", **SMALL, label=label), batch(2)
    mask = torch.zeros_like(given["brain"])
    mask[:, :, 10:15, 10:13] = True
    made = Blended(given["image"] + 0.3 * mask, mask, 0.4 * mask)
    monkeypatch.setattr(synthetic_unet, "mix_lesions", lambda *_, **__: made)
    losses = method.loss(given)
    full, coarse = method.network(made.image)
    lesion, inside = (mask.float() if label == "hard" else made.soft), given["brain"].float()
    shrink = torch.nn.functional.avg_pool2d
    fine = by_hand(full[:, :1], lesion, inside)
    rough = by_hand(coarse, shrink(lesion, 2), shrink(inside, 2))
    expected = {"cross_entropy": (fine[0] * 2 + rough[0]) / 3, "dice": (fine[1] * 2 + rough[1]) / 3}
    error = ((made.image + full[:, 1:] - given["image"]).abs() * inside).sum() / inside.sum()
    names = ["cross_entropy", "dice"] if label == "hard" else ["cross_entropy"]
    for name in names:
        assert losses[name].item() == pytest.approx(expected[name], rel=1e-4)
    assert losses["restoration"].item() == pytest.approx(error.item(), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(sum(expected[name] for name in names) + error.item(), rel=1e-4)
    assert set(losses) == {"loss", "restoration", *names}


def test_calibration_makes_the_mean_of_the_map_the_share_of_lesion_and_keeps_its_order() -> None:
    torch.manual_seed(0)
    method, given = create("synthetic_unet", **SMALL).eval(), batch(16)
    with torch.no_grad():
        before = method.anomaly_map(given["image"])
        method.calibrate(lambda: [given], generator=torch.Generator().manual_seed(3))
        after = method.anomaly_map(given["image"])
    made = synthetic_unet.mix_lesions(
        given["image"],
        given["brain"],
        mix=lesion_mix.MIXES["flair"].only("intensity_shift"),
        generator=torch.Generator().manual_seed(3),
    )
    with torch.no_grad():
        found = method.anomaly_map(made.image)[given["brain"]]
    share = made.mask[given["brain"]].float().mean()
    assert found.mean().item() == pytest.approx(share.item(), rel=0.02)
    inside = given["brain"]
    rank, same = before[inside].argsort(), after[inside].argsort()
    assert before[inside][same].diff().min() >= -1e-6
    assert after[inside][rank].diff().min() >= -1e-6
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (12,)}, "multiples of 8"),
        ({"modalities": ("pet",)}, "expected some of .*got 'pet'"),
        ({"modalities": ("t1", "t2")}, "one name, or 1"),
        ({"held_out": ("blob",)}, "lesion kind 'blob'"),
        ({"restoration": -1.0}, "restoration"),
        ({"coarse": 4}, "coarse: expected 0 to 3"),
        ({"slab": 3}, "slab: expected 0, or for volumes"),
        ({"slab": 4, "size": (8, 32, 32)}, "odd number from 3"),
        ({"slab": 9, "size": (8, 32, 32)}, "to their depth"),
        ({"slab": 3, "size": (5, 30, 32)}, "nearest valid"),
        ({"mirror": (-3,)}, "mirror: expected each axis once"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticUNetConfig(**{"size": (32, 32), **settings})
