import pytest
import torch

from uad_data.errors import InputError
from uad_models.labelled.segmenter import Segmenter
from uad_models.method import brain_of
from uad_models.registry import create, list_methods

BASES = {"denoising_unet": ("channels=8+16", "fold=2"), "synthetic_unet": ("channels=8+16+16", "fold=2", "coarse=2")}
BRATS = ("non_enhancing_core=1", "oedema=2", "enhancing=4")


def made(base="denoising_unet", **config):
    torch.manual_seed(0)
    return create("finetune", **{"base": base, "network": BASES.get(base, ()), "size": (16, 16)} | config)


def batch(values=(0, 1, 2, 4), *, size=(16, 16), channels=1):
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(4, 1, *size, dtype=torch.bool)
    brain[(..., *(slice(2, -2),) * len(size))] = True
    image = (torch.rand(4, channels, *size, generator=generator) + 0.5) * brain
    picked = torch.randint(len(values), (4, 1, *size), generator=generator)
    return {"image": image, "brain": brain, "lesion": torch.tensor(values, dtype=torch.uint8)[picked]}


def by_hand(probability, truth):
    """Cross-entropy over the brain, and one minus the mean Dice of the classes; voxel by voxel, (v, k) and (v,)."""
    crossed = torch.stack([-probability[voxel, k].log() for voxel, k in enumerate(truth)]).mean()
    dice = []
    for k in range(1, probability.shape[1]):
        overlap = probability[truth == k, k].sum()
        dice.append((2 * overlap + 1) / (probability[:, k].sum() + (truth == k).sum() + 1))
    return crossed, 1 - torch.stack(dice).mean()


@pytest.mark.parametrize("classes", [(), BRATS])
def test_loss_is_soft_dice_and_cross_entropy_inside_the_brain(classes):
    method, seen = made(classes=classes).eval(), batch()
    losses = method.loss(seen)
    inside = seen["brain"][:, 0]
    probability = method.probabilities(seen["image"]).movedim(1, -1)[inside]
    label = seen["lesion"][:, 0][inside]
    truth = sum((k + 1) * (label == value) for k, value in enumerate((1, 2, 4))) if classes else label > 0
    crossed, dice = by_hand(probability, truth.long())
    assert losses["cross_entropy"].item() == pytest.approx(crossed.item(), rel=1e-5)
    assert losses["dice"].item() == pytest.approx(dice.item(), rel=1e-5)
    assert losses["loss"].item() == pytest.approx((crossed + dice).item(), rel=1e-5)


def test_labels_outside_the_brain_are_not_seen():
    method, seen = made().eval(), batch()
    other = seen | {"lesion": torch.where(seen["brain"], seen["lesion"], 1 - seen["lesion"].clamp(max=1))}
    assert method.loss(seen)["loss"] == method.loss(other)["loss"]


def test_coarse_outputs_count_half_as_much_each():
    method, seen = made("synthetic_unet", network=("channels=8+16", "fold=2", "coarse=1"), classes=BRATS), batch()
    full, coarse = method._logits(seen["image"])
    assert (tuple(full.shape), tuple(coarse.shape)) == ((4, 4, 16, 16), (4, 4, 4, 4))
    fine = method.eval().loss(seen)["cross_entropy"]
    share = seen["brain"].float().unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2))
    wanted = [(seen["lesion"] == value) & seen["brain"] for value in (1, 2, 4)]
    shares = [each.float().unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2)) for each in wanted]
    shares = torch.cat([share - sum(shares), *shares], dim=1)
    rough = -(shares * coarse.log_softmax(dim=1)).sum() / share.sum()
    both = method.train().loss(seen)["cross_entropy"]
    assert both.item() == pytest.approx((fine * 2 / 3 + rough / 3).item(), rel=1e-4)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("size", [(16, 16), (8, 16, 16)])
def test_maps_are_probabilities_of_a_lesion_and_classes_the_likeliest(base, size):
    method = made(base, size=size, in_channels=2, modalities=("flair", "t1"), classes=BRATS).eval()
    x = batch(size=size, channels=2)["image"]
    with torch.no_grad():
        method.network.last.weight.mul_(8)
        found, classes = method.anomaly_map(x), method.class_map(x)
        probability = method.probabilities(x)
    assert (found.shape, found.dtype, classes.shape) == ((4, 1, *size), torch.float32, (4, *size))
    inside = brain_of(x)
    assert (found[~inside] == 0).all()
    assert torch.allclose(found[inside], probability[:, 1:].sum(dim=1, keepdim=True)[inside], atol=1e-6)
    assert torch.equal(classes[inside[:, 0]], probability.argmax(dim=1)[inside[:, 0]].to(torch.uint8))
    assert (classes[~inside[:, 0]] == 0).all()
    assert torch.equal(method.anomaly_score(x), found.flatten(1).sum(dim=1))
    assert torch.equal(method.anomaly_map(x), found.detach())


@pytest.mark.parametrize("base", BASES)
def test_a_batch_can_be_learnt_by_heart(base):
    method, seen = made(base, network=(*BASES[base][:1], "fold=1"), classes=("core=1", "rim=2")), batch((0, 0, 1, 2))
    seen["image"] = seen["image"] * 0.2 + seen["lesion"] * 0.5 * seen["brain"]
    optimiser = torch.optim.AdamW(method.parameter_groups("fit")["all"], lr=0.01)
    first = method.loss(seen)["loss"].item()
    for _ in range(60):
        optimiser.zero_grad()
        method.loss(seen)["loss"].backward()
        optimiser.step()
    inside = seen["brain"][:, 0]
    assert method.eval().loss(seen)["loss"].item() < 0.3 * first
    assert (method.class_map(seen["image"]) == seen["lesion"][:, 0])[inside].float().mean() > 0.9


def test_a_frozen_encoder_is_not_trained_and_all_else_is():
    method = made("synthetic_unet", encoder="frozen")
    method.loss(batch())["loss"].backward()
    names = {id(each): name for name, each in method.named_parameters()}
    trained = {names[id(each)] for each in method.parameter_groups("fit")["all"]}
    assert trained == {name for name, each in method.named_parameters() if each.grad is not None}
    parts = [{name.split(".")[1] for name in each} for each in (names.values(), trained)]
    assert parts[0] - parts[1] == {"stem", "down"}


def test_rates_fall_from_layer_to_layer():
    method = made("synthetic_unet", rate_decay=0.5)
    found = {".".join(name.split(".")[1:3]): method.learning_rate_factor(name) for name, _ in method.named_parameters()}
    assert found == {
        "last.weight": 1, "last.bias": 1, "coarse.0": 1, "coarse.1": 1,
        "up.1": 0.5, "raise_.1": 0.5, "up.0": 0.25, "raise_.0": 0.25,
        "down.2": 1 / 8, "down.1": 1 / 16, "down.0": 1 / 32, "stem.weight": 1 / 32, "stem.bias": 1 / 32,
    }  # fmt: skip


def test_it_begins_by_expecting_background():
    assert made(classes=BRATS).anomaly_map(batch()["image"]).mean() < 0.3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base": "ae", "network": ()}, "method 'ae' cannot be fine-tuned here: expected one whose network maps"),
        ({"base": "disyre", "network": (), "size": (32, 32)}, "'disyre' cannot be fine-tuned"),
        ({"base": "finetune", "network": ()}, "base: expected a method that learns without labels"),
        ({"base": "denoising", "network": ()}, "did you mean denoising_unet"),
        ({"network": ("chanels=8",)}, "did you mean channels"),
        ({"classes": ("core",)}, "expected 'name=value'"),
        ({"classes": ("core=0",)}, "values from 1 to 255"),
        ({"classes": ("core=1", "rim=1")}, "each name and each value once"),
        ({"rate_decay": 0.0}, "rate_decay: expected above 0"),
        ({"size": (17, 16)}, "nearest valid"),
    ],
)
def test_what_cannot_be_made_is_refused(config, message):
    with pytest.raises(InputError, match=message):
        made(**config)


def test_it_stands_in_no_list_of_methods_that_learn_without_labels():
    assert Segmenter.labelled
    assert "finetune" not in list_methods()
