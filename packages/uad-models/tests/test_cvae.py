"""The objective of section 5.2 term by term, and the network of Table 2, left."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from uad_models.methods.cvae import CVAE, CVAEConfig
from uad_models.methods.dae import corrupt
from uad_models.registry import create

SMALL = {"size": (32, 32), "channels": (8, 8), "latent_dim": 4}


def autoencoder(**changes: object) -> CVAE:
    torch.manual_seed(0)
    return CVAE(CVAEConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    brain = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    brain[..., 4:28, 6:30] = True
    image = 2 + torch.rand((3, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    return {"image": image * brain, "brain": brain}


def passes(method: CVAE, data: dict[str, torch.Tensor], generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """KL divergence by unit; image of the sampled code; image of the corrupted image's mean code."""
    mean, log_variance = method.network.encode(data["image"])
    posterior = Normal(mean, (log_variance / 2).exp())
    sampled = mean + posterior.stddev * torch.randn(mean.shape, generator=generator)
    corrupted = corrupt(*data.values(), method.config.corruption, generator=generator)
    assert not torch.equal(corrupted, data["image"])
    context, _ = method.network.encode(corrupted)
    return kl_divergence(posterior, Normal(0.0, 1.0)).flatten(1), method.decode(sampled)[0], method.decode(context)[0]


@pytest.mark.parametrize("corruption", ["random_shapes", "context_mask"])
@pytest.mark.parametrize("latent", ["dense", "spatial"])
def test_the_papers_objective_is_the_divergence_and_two_sums_of_squares(corruption, latent):
    method = autoencoder(corruption=corruption, latent=latent, predict_scale=False, fixed_scale=0.5**0.5).eval()
    data = batch()
    divergence, own, context = passes(method, data, torch.Generator().manual_seed(7))
    total, voxels = divergence.sum().item(), 0
    context_total = 0.0
    for image, inside, one, other in zip(data["image"], data["brain"], own, context, strict=True):
        total += ((image - one)[inside] ** 2).sum().item()
        context_total += ((image - other)[inside] ** 2).sum().item()
        voxels += inside.sum().item()
    losses = method.loss(data, generator=torch.Generator().manual_seed(7))
    constants = 2 * math.log(0.5**0.5)
    assert losses["loss"].item() == pytest.approx((total + context_total) / voxels + constants, rel=1e-5)
    assert losses["context_error"].item() == pytest.approx(context_total / voxels, rel=1e-5)


def test_without_a_scale_each_term_has_its_own():
    method, data = autoencoder(predict_scale=False).eval(), batch()
    divergence, own, context = passes(method, data, torch.Generator().manual_seed(7))
    variances = [(data["image"] - each)[data["brain"]].square().mean() for each in (own, context)]
    expected = sum((1 + variance.log()) / 2 for variance in variances) + divergence.sum() / data["brain"].sum()
    torch.testing.assert_close(method.loss(data, generator=torch.Generator().manual_seed(7))["loss"], expected)


def test_the_context_term_reaches_the_mean_and_not_the_variance():
    method, data = autoencoder(beta=0.0).eval(), batch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uad_models.methods.vae.VAE.loss", lambda *_, **__: {"loss": torch.zeros(())})
        method.loss(data, generator=torch.Generator().manual_seed(7))["loss"].backward()
    mean, log_variance = method.network.heads
    assert mean[1].weight.grad.abs().sum() > 0
    assert log_variance[1].weight.grad is None


def test_the_network_of_the_paper_is_table_2():
    down = 16 * (1 * 16 + 16 * 32 + 32 * 64 + 64 * 64)
    norms = 2 * (16 + 32 + 64 + 64) + 2 * (64 + 64 + 32 + 16)
    heads, first = 2 * (9 * 64 * 64 + 64), 9 * 64 * 64
    assert 2 * down + norms + heads + first + 1 == 324929
    method = create("cvae", **{**CVAE.presets["paper"].config, "size": (240, 240)}).eval()
    assert sum(each.numel() for each in method.parameters()) == 324929
    with torch.no_grad():
        mean, log_variance = method.network.encode(torch.rand(1, 1, 240, 240))
        assert mean.shape == log_variance.shape == (1, 64, 8, 8)
        assert method.decode(mean)[0].shape == (1, 1, 240, 240)
