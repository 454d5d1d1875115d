"""The adversarial autoencoder: each group's loss by hand, and what training it does to codes and discriminators."""

import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.aae import AAE, AAEConfig
from uad_models.networks.discriminator import CodeDiscriminator, PatchDiscriminator, pass_for_real, tell_apart

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(8, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": (torch.rand((8, 1, 16, 16), generator=generator) + 0.1) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def autoencoder(**changes: object) -> AAE:
    torch.manual_seed(0)
    return AAE(AAEConfig(**{**SMALL, **changes}))


def log_sigmoid(logit: torch.Tensor) -> torch.Tensor:
    """By its definition."""
    return torch.log(1 / (1 + torch.exp(-logit)))


@pytest.mark.parametrize("image_weight", [0.0, 0.3])
@pytest.mark.parametrize("predict_scale", [True, False])
def test_the_autoencoder_s_loss_is_reconstruction_deceit_and_constraint(image_weight, predict_scale):
    method, data = autoencoder(image_weight=image_weight, predict_scale=predict_scale), batch()
    image, brain, config = data["image"], data["brain"], method.config
    (code,) = method.network.encode(image)
    expected, scale = method.decode(code)
    unlikely = (image - expected).square()
    if predict_scale:
        unlikely = unlikely / (2 * scale.square()) + scale.log()
    inside = expected * brain
    loss = unlikely[brain].mean() - config.code_weight * log_sigmoid(method.opponents["code"](code)).mean()
    loss = loss + config.constraint_weight * (method.network.encode(inside)[0] - code).square().mean()
    if image_weight:
        loss = loss - image_weight * log_sigmoid(method.opponents["image"](inside)).mean()
    torch.testing.assert_close(method.loss(data, group="autoencoder", generator=seeded())["loss"], loss)


@pytest.mark.parametrize("image_weight", [0.0, 0.3])
def test_the_opponent_s_loss_is_cross_entropy_and_teaches_the_autoencoder_nothing(image_weight):
    method, data = autoencoder(image_weight=image_weight), batch()
    (code,) = method.network.encode(data["image"])
    drawn = torch.randn(code.shape, generator=seeded())
    opponent = method.opponents["code"]

    def penalty(judge: torch.nn.Module, real: torch.Tensor) -> torch.Tensor:
        slopes = torch.func.vmap(torch.func.grad(lambda each: judge(each[None]).sum()))(real)
        return slopes.square().sum() / len(real) / 2

    expected = -log_sigmoid(opponent(drawn)).mean() - torch.log(1 - torch.sigmoid(opponent(code))).mean()
    expected = expected + penalty(opponent, drawn)
    if image_weight:
        made, judge = method.decode(code)[0] * data["brain"], method.opponents["image"]
        expected = (
            expected - log_sigmoid(judge(data["image"])).mean() - torch.log(1 - torch.sigmoid(judge(made))).mean()
        )
        expected = expected + penalty(judge, data["image"])
    loss = method.loss(data, group="opponent", generator=seeded())["loss"]
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is None for parameter in method.network.parameters())
    assert all(parameter.grad is not None for parameter in method.opponents.parameters())


def test_validation_is_the_reconstruction_alone_whatever_the_group():
    method, data = autoencoder().eval(), batch()
    losses = [method.loss(data, group=group)["loss"] for group in ("opponent", "autoencoder")]
    expected, scale = method.decode(method.network.encode(data["image"])[0])
    unlikely = (data["image"] - expected).square() / (2 * scale.square()) + scale.log()
    for loss in losses:
        torch.testing.assert_close(loss, unlikely[data["brain"]].mean())


def test_the_groups_share_out_all_parameters():
    method = autoencoder(image_weight=0.1)
    groups = method.parameter_groups("fit")
    together = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(together) == sorted(id(parameter) for parameter in method.parameters())
    assert len(set(together)) == len(together)


def test_playing_the_game_brings_the_codes_to_the_prior():
    def distance(code_weight: float) -> float:
        """Of the codes' mean from the prior's after training, having started far off."""
        method, data, generator = autoencoder(code_weight=code_weight, constraint_weight=0.0), batch(), seeded()
        with torch.no_grad():
            method.network.heads[0][-1].bias += 3
        groups = method.parameter_groups("fit")
        optimisers = {group: torch.optim.Adam(parameters, 1e-3) for group, parameters in groups.items()}
        for _ in range(200):
            for group, optimiser in optimisers.items():
                optimiser.zero_grad()
                method.loss(data, group=group, generator=generator)["loss"].backward()
                optimiser.step()
        with torch.no_grad():
            return method.network.encode(data["image"])[0].mean(dim=0).norm().item()

    assert distance(1.0) < 0.5 * distance(1e-6)


def test_a_discriminator_that_cannot_tell_pays_two_log_two():
    opponent = CodeDiscriminator(3)
    torch.nn.init.zeros_(opponent[-1].weight)
    torch.nn.init.zeros_(opponent[-1].bias)
    codes = torch.randn(5, 3)
    assert tell_apart(opponent, codes, codes + 1).item() == pytest.approx(2 * math.log(2))
    assert pass_for_real(opponent, codes).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)])
def test_the_patch_discriminator_judges_each_patch(size):
    judge = PatchDiscriminator(dims=len(size), in_channels=2, channels=(4, 8))
    assert judge(torch.zeros(3, 2, *size)).shape == (3, 1, *(side // 4 for side in size))


@pytest.mark.parametrize(
    "changes",
    [{"latent": "spatial"}, {"code_weight": 0.0}, {"constraint_weight": -1.0}, {"image_weight": -1.0}],
)
def test_settings_without_meaning_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        AAEConfig(**SMALL, **changes)
