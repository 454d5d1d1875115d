"""The flow prior: a true density, a bound that uses it, codes it follows, and a library that may be missing."""

import sys

import pytest
import torch
from torch.distributions import Normal

from uad_data.errors import InputError
from uad_models.methods.vae_flow import VAEFlow, VAEFlowConfig, make_flow
from uad_models.scores.code_model import fixed_codes
from uad_models.scores.sample_scores import CODES

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 3}


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": (torch.rand((3, 1, 16, 16), generator=generator) + 0.1) * brain, "brain": brain}


def autoencoder(**changes: object) -> VAEFlow:
    torch.manual_seed(0)
    return VAEFlow(VAEFlowConfig(**{**SMALL, **changes}))


def test_the_loss_is_the_bound_with_the_flow_s_density_at_the_decoded_code():
    method, data = autoencoder().eval(), batch()
    mean, log_variance = method.network.encode(data["image"])
    posterior = Normal(mean, (log_variance / 2).exp())
    code = mean + posterior.stddev * torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    divergence = (posterior.log_prob(code).sum(dim=1) - method.flow().log_prob(code)).mean()
    expected, scale = method.decode(code)
    unlikely = (data["image"] - expected).square() / (2 * scale.square()) + scale.log()
    bound = (unlikely * data["brain"]).sum() / 3 + divergence
    losses = method.loss(data, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(losses["loss"], bound / (data["brain"].sum() / 3))
    torch.testing.assert_close(losses["kl"], divergence.detach())


def test_the_divergence_as_a_score_averages_over_fixed_codes():
    method, data = autoencoder().eval(), batch()
    mean, log_variance = method.network.encode(data["image"])
    posterior = Normal(mean, (log_variance / 2).exp())
    total = torch.zeros(3)
    for code in fixed_codes(mean, log_variance, CODES):
        total += (posterior.log_prob(code).sum(dim=1) - method.log_prior(code)) / CODES
    torch.testing.assert_close(method.divergence(data["image"]), total, rtol=1e-4, atol=1e-4)


def test_the_prior_is_a_density_and_follows_codes_that_are_not_normal():
    torch.manual_seed(0)
    flow = make_flow(2, transforms=2, width=16)
    grid = torch.cartesian_prod(torch.linspace(-8, 8, 161), torch.linspace(-8, 8, 161))
    with torch.no_grad():
        assert flow().log_prob(grid).exp().sum().item() * 0.1**2 == pytest.approx(1, abs=0.02)
    side = torch.randint(0, 2, (512, 1)).float() * 4 - 2
    codes = side + 0.3 * torch.randn(512, 2)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(100):
        optimiser.zero_grad()
        (-flow().log_prob(codes).mean()).backward()
        optimiser.step()
    fitted = Normal(codes.mean(dim=0), codes.std(dim=0)).log_prob(codes).sum(dim=1).mean()
    assert flow().log_prob(codes).mean() > fitted + 0.5


@pytest.mark.parametrize("voxel_score", ["kl_gradient", "elbo_product", "mahalanobis"])
@pytest.mark.parametrize("sample_score", ["elbo", "kl", "importance_weighted"])
def test_the_scores_of_vae_kl_are_had_too(voxel_score, sample_score):
    method, x = autoencoder(voxel_score=voxel_score, sample_score=sample_score).eval(), batch()["image"]
    with torch.inference_mode():
        anomaly, score = method.anomaly_map(x.clone()), method.anomaly_score(x.clone())
    assert torch.isfinite(anomaly).all()
    assert anomaly.max() > 0
    assert torch.isfinite(score).all()


@pytest.mark.parametrize(
    "changes",
    [{"latent": "spatial"}, {"latent_dim": 1}, {"free_bits": 0.1}, {"transforms": 0}, {"flow_width": 0}],
)
def test_codes_that_the_flow_cannot_take_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        VAEFlowConfig(**{**SMALL, **changes})


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(InputError, match=r"pip install 'uad-models\[flow\]'"):
        autoencoder()
