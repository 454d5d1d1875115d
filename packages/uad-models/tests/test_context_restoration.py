"""Algorithm 1: what is given, what is wanted, which loss, and the network of section 5.2.3."""

import math

import pytest
import torch

from uad_data.corruptions import patch_swap
from uad_data.errors import InputError
from uad_models.methods.context_restoration import ContextRestoration, ContextRestorationConfig, drawn
from uad_models.registry import create

SMALL = {"size": (32, 32), "channels": (8, 8), "latent_dim": 4}


def restorer(**changes: object) -> ContextRestoration:
    torch.manual_seed(0)
    return ContextRestoration(ContextRestorationConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    brain = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    brain[..., 4:28, 6:30] = True
    return {"image": torch.rand((3, 1, 32, 32), generator=seeded()) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def restored(method: ContextRestoration, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Difference from the image before the swap, its scale, and what was swapped."""
    generator = seeded()
    swapped = patch_swap(*data.values(), side=1 / 8, swaps=method.config.swaps, generator=generator)
    mean, log_variance = method.network.encode(swapped.image)
    code = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=generator)
    image, scale = method.decode(code)
    return data["image"] - image, scale, swapped.mask


@pytest.mark.parametrize("name", ["context_restoration", "vae_pretrained", "multitask"])
@pytest.mark.parametrize("latent", ["dense", "spatial"])
def test_the_variance_of_a_code_begins_at_one_and_can_be_learned(name, latent):
    method, data = create(name, **SMALL, latent=latent), batch()
    mean, log_variance = method.network.encode(data["image"])
    assert mean.std() > 0
    assert not log_variance.any()
    method.loss(data, stage=method.stages[0], generator=seeded())["loss"].backward()
    assert all(parameter.grad.any() for parameter in method.network.heads[1].parameters())


@pytest.mark.parametrize("swaps", [1, 3])
def test_the_image_before_the_swap_is_wanted(swaps):
    method, data = restorer(predict_scale=False, swaps=swaps), batch()
    losses = method.loss(data, generator=seeded())
    difference, scale, mask = restored(method, data)
    assert scale is None
    assert 0 < mask.sum() <= 3 * swaps * 2 * 4 * 4
    torch.testing.assert_close(losses["loss"], difference[data["brain"]].square().mean())
    torch.testing.assert_close(losses["swapped_error"], difference[mask].square().mean().detach())


def test_a_predicted_scale_is_trained_by_likelihood_and_validation_counts_the_error():
    method, data = restorer(), batch()
    trained = method.loss(data, generator=seeded())["loss"]
    difference, scale, _ = (
        each[data["brain"]] if each.dtype != torch.bool else each for each in restored(method, data)
    )
    torch.testing.assert_close(trained, ((difference / scale).square() / 2 + scale.log()).mean())
    method.eval()
    validated = method.loss(data, generator=seeded())["loss"]
    difference, _, _ = restored(method, data)
    torch.testing.assert_close(validated, difference[data["brain"]].square().mean())


def test_a_drawn_code_has_its_mean_and_variance():
    mean, log_variance = torch.full((20000, 1), 3.0), torch.full((20000, 1), math.log(4.0))
    code = drawn(mean, log_variance, generator=seeded())
    assert code.mean().item() == pytest.approx(3.0, abs=0.1)
    assert code.std().item() == pytest.approx(2.0, rel=0.05)


def test_the_network_of_the_thesis_has_six_halvings_to_512_channels():
    method = create("context_restoration", **{**ContextRestoration.presets["thesis"].config, "size": (128, 128)}).eval()
    widths = [layer[0].out_channels for layer in method.network.encoder]
    assert widths == [16, 32, 64, 128, 256]
    x = torch.rand(1, 1, 128, 128)
    mean, log_variance = method.network.encode(x)
    assert torch.cat((mean, log_variance), dim=1).shape == (1, 512, 2, 2)
    halvings = [*(layer[0] for layer in method.network.encoder), *method.network.heads]
    assert {(each.kernel_size, each.stride, each.padding) for each in halvings} == {((4, 4), (2, 2), (1, 1))}
    ups = [method.network.first[0], *(layer[0] for layer in method.network.decoder[:-1]), method.network.decoder[-1]]
    assert {(each.kernel_size, each.stride, each.padding) for each in ups} == {((4, 4), (2, 2), (1, 1))}
    assert {layer[2].negative_slope for layer in method.network.encoder} == {0.1}
    assert method.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("changes", [{"swap_side": 0.0}, {"swap_side": 0.6}, {"swaps": 0}, {"latent": "features"}])
def test_settings_without_meaning_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        restorer(**changes)
