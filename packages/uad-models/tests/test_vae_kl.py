"""Maps and scores of a VAE by name, against finite differences, loops and Monte-Carlo sums of their own."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis as of_scipy
from torch.distributions import Normal, kl_divergence

from uad_data.errors import InputError
from uad_models.methods.vae_kl import REPEATS, VAEKL, VAEKLConfig
from uad_models.overrides import parse_overrides
from uad_models.registry import create
from uad_models.scores.code_model import fixed_codes
from uad_models.scores.kl_gradient import gradient_map, times_gradient, value_and_gradient
from uad_models.scores.mahalanobis import FLOOR, mahalanobis
from uad_models.scores.sample_scores import CODES, log_normal, sample_score

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}
VOXEL_SCORES = ["residual", "kl_gradient", "kl_product", "elbo_gradient", "elbo_product", "mahalanobis"]


def autoencoder(**changes: object) -> VAEKL:
    """One whose batch statistics are no longer the initial ones."""
    torch.manual_seed(0)
    method = VAEKL(VAEKLConfig(**{**SMALL, **changes}))
    for seed in range(3):
        method.loss(batch(seed=seed))
    return method.eval()


def batch(*, seed: int = 0, channels: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": (torch.rand((3, channels, 16, 16), generator=generator) + 0.1) * brain, "brain": brain}


def analytic_kl(method: VAEKL, x: torch.Tensor) -> torch.Tensor:
    mean, log_variance = method.network.encode(x)
    return kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).flatten(1).sum(dim=1)


@pytest.mark.parametrize("score", ["kl_gradient", "elbo_gradient"])
@pytest.mark.parametrize("predict_scale", [True, False])
def test_the_gradient_is_that_of_finite_differences(score, predict_scale):
    method = autoencoder(predict_scale=predict_scale)
    x, brain = batch()["image"], batch()["brain"]
    found = gradient_map(method.divergence if score == "kl_gradient" else method.negative_bound, x, smoothing=0.0)

    def value(image: torch.Tensor) -> torch.Tensor:
        kl = analytic_kl(method, image).double()
        if score == "kl_gradient":
            return kl
        expected, scale = method.decode(method.network.encode(image)[0])
        deviation = scale.double() if predict_scale else method.typical_error.double().sqrt()
        likelihood = Normal(expected.double(), deviation).log_prob(image.double()) + math.log(2 * math.pi) / 2
        return kl - (likelihood * brain).flatten(1).sum(dim=1)

    steep = found[0, 0].flatten().topk(5).indices
    with torch.no_grad():
        for place in steep:
            nudge = torch.zeros(1, 1, 256)
            nudge[..., place] = 3e-3
            nudge = nudge.reshape(1, 1, 16, 16)
            slope = (value(x + nudge) - value(x - nudge))[0].abs() / 6e-3
            torch.testing.assert_close(found[0, 0].flatten()[place].double(), slope, rtol=3e-2, atol=0)


def test_the_gradient_is_taken_where_the_caller_wants_none_and_leaves_none_behind():
    method = autoencoder()
    x = batch()["image"]
    expected = method.anomaly_map(x)
    with torch.no_grad():
        assert torch.equal(method.anomaly_map(x), expected)
    with torch.inference_mode():
        assert torch.equal(method.anomaly_map(x.clone()), expected)
    assert all(parameter.grad is None for parameter in method.parameters())
    value, gradient = value_and_gradient(method.divergence, x)
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_smoothing_is_a_mean_over_the_brain_s_voxels_near_by():
    method, x, brain = autoencoder(), batch()["image"], batch()["brain"]
    rough = gradient_map(method.divergence, x, smoothing=0.0)
    smooth = gradient_map(method.divergence, x, smoothing=1.0)
    centre = (1, 0, 3, 4)  # a corner of the brain
    weights, total = 0.0, 0.0
    for h in range(16):
        for w in range(16):
            if brain[1, 0, h, w] and max(abs(h - 3), abs(w - 4)) <= 3:
                weight = math.exp(-((h - 3) ** 2 + (w - 4) ** 2) / 2)
                weights, total = weights + weight, total + weight * rough[1, 0, h, w].item()
    assert smooth[centre].item() == pytest.approx(total / weights, rel=1e-4)


def test_a_product_keeps_the_residual_s_unit():
    brain = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    residual, gradient = torch.tensor([[[[0.5, 0.2]]]]), torch.tensor([[[[3.0, 1.0]]]])
    found = times_gradient(residual, gradient, brain).flatten().tolist()
    np.testing.assert_allclose(found, [0.5 * 1.5, 0.2 * 0.5], rtol=1e-6)
    assert times_gradient(residual, 0 * gradient, brain).abs().max() == 0
    method, x = autoencoder(voxel_score="kl_product", residual="l1"), batch()["image"]
    plain = create("vae_kl", **SMALL, voxel_score="residual", residual="l1").eval()
    plain.load_state_dict(method.state_dict())
    gradient = gradient_map(method.divergence, x, smoothing=2.0)
    torch.testing.assert_close(method.anomaly_map(x), times_gradient(plain.anomaly_map(x), gradient, batch()["brain"]))


@pytest.mark.parametrize("channels", [1, 2])
def test_mahalanobis_is_scipy_s_over_channels(channels):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((2, channels, 3, 3), generator=generator)
    repeats = torch.rand((6, 2, channels, 3, 3), generator=generator)
    found = mahalanobis(x, repeats)
    assert found.shape == (2, 1, 3, 3)
    for image, h, w in np.ndindex(2, 3, 3):
        seen = repeats[:, image, :, h, w].double().numpy()
        covariance = np.cov(seen, rowvar=False).reshape(channels, channels) + FLOOR**2 * np.eye(channels)
        inverse = np.linalg.inv(covariance)
        expected = of_scipy(x[image, :, h, w].double().numpy(), seen.mean(axis=0), inverse)
        assert found[image, 0, h, w].item() == pytest.approx(expected, rel=1e-3)


def test_the_mahalanobis_map_repeats_the_reconstruction_of_every_image_with_the_same_noise():
    method, x = autoencoder(voxel_score="mahalanobis"), batch()["image"]
    mean, log_variance = method.network.encode(x)
    codes = fixed_codes(mean, log_variance, REPEATS)
    noise = (codes - mean) / (log_variance / 2).exp()
    torch.testing.assert_close(noise[:, 0], noise[:, 2], atol=1e-4, rtol=1e-4)
    assert noise[0, 0].ne(noise[1, 0]).all()
    repeats = torch.stack([method.decode(code)[0] for code in codes])
    torch.testing.assert_close(method.anomaly_map(x), mahalanobis(x, repeats) * batch()["brain"])


def test_the_bound_and_the_divergence_are_sums_over_code_and_brain():
    method, x, brain = autoencoder(), batch()["image"], batch()["brain"]
    mean, log_variance = method.network.encode(x)
    likelihood = torch.zeros(3)
    for code in fixed_codes(mean, log_variance, CODES):
        image, scale = method.decode(code)
        each = Normal(image, scale).log_prob(x) + math.log(2 * math.pi) / 2
        likelihood += (each * brain).flatten(1).sum(dim=1) / CODES
    torch.testing.assert_close(sample_score(method, x, "kl"), analytic_kl(method, x))
    torch.testing.assert_close(sample_score(method, x, "elbo"), analytic_kl(method, x) - likelihood)


def test_importance_weighting_is_the_mean_of_likelihood_ratios_and_tighter_than_the_bound():
    method, x, brain = autoencoder(), batch()["image"], batch()["brain"]
    mean, log_variance = method.network.encode(x)
    posterior = Normal(mean.double(), (log_variance.double() / 2).exp())
    logs = []
    for code in fixed_codes(mean, log_variance, CODES):
        image, scale = method.decode(code)
        each = Normal(image, scale).log_prob(x).double() + math.log(2 * math.pi) / 2
        prior = Normal(0.0, 1.0).log_prob(code.double()) - posterior.log_prob(code.double())
        logs.append((each * brain).flatten(1).sum(dim=1) + prior.flatten(1).sum(dim=1))
    logs = torch.stack(logs)
    most = logs.max(dim=0).values
    expected = -((logs - most).exp().mean(dim=0).log() + most)
    torch.testing.assert_close(sample_score(method, x, "importance_weighted").double(), expected, rtol=1e-4, atol=1e-2)
    assert (sample_score(method, x, "importance_weighted") <= -logs.mean(dim=0) + 1e-2).all()


def test_the_density_of_a_code_is_torch_s():
    code, mean, log_variance = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    expected = Normal(mean, (log_variance / 2).exp()).log_prob(code).sum(dim=1)
    torch.testing.assert_close(log_normal(code, mean, log_variance), expected)


@pytest.mark.parametrize("score", ["l2", "elbo", "kl", "importance_weighted"])
@pytest.mark.parametrize("voxel_score", VOXEL_SCORES)
def test_both_scores_are_chosen_by_name(score, voxel_score):
    method = autoencoder(sample_score=score, voxel_score=voxel_score)
    x = batch()["image"]
    with torch.inference_mode():
        found = method.anomaly_score(x.clone())
        anomaly = method.anomaly_map(x.clone())
        alone = torch.cat([method.anomaly_score(each[None].clone()) for each in x])
    torch.testing.assert_close(found, sample_score(method, x, score).detach())
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-3)
    assert anomaly.shape == (3, 1, 16, 16)
    assert anomaly[~batch()["brain"]].abs().max() == 0
    assert torch.isfinite(anomaly).all()
    assert method.anomaly_score(torch.zeros(1, 1, 16, 16)).item() == 0


def test_a_method_without_a_distribution_over_codes_is_refused():
    method = create("ae", **SMALL).eval()
    x = batch()["image"]
    torch.testing.assert_close(sample_score(method, x, "l2"), method.anomaly_score(x))
    with pytest.raises(InputError, match=r'score "elbo": expected a method with a distribution over codes .* got ae'):
        sample_score(method, x, "elbo")


def test_the_likelihood_without_a_predicted_scale_remembers_the_training_error():
    torch.manual_seed(0)
    method = VAEKL(VAEKLConfig(**SMALL, predict_scale=False))
    first = method.loss(batch(seed=1))["error"]
    torch.testing.assert_close(method.typical_error, first)
    second = method.loss(batch(seed=2))["error"]
    torch.testing.assert_close(method.typical_error, 0.9 * first + 0.1 * second)
    torch.testing.assert_close(method.typical_scale(), method.typical_error.sqrt())
    method.eval().loss(batch(seed=3))
    torch.testing.assert_close(method.typical_error, 0.9 * first + 0.1 * second)
    fixed = VAEKL(VAEKLConfig(**SMALL, predict_scale=False, fixed_scale=0.3))
    assert fixed.typical_scale().item() == pytest.approx(0.3)


def test_meaningless_settings_are_refused():
    with pytest.raises(InputError, match="gradient_smoothing"):
        VAEKLConfig(**SMALL, gradient_smoothing=-1.0)
    with pytest.raises(InputError, match="voxel_score"):
        VAEKLConfig(**SMALL, voxel_score="kl")


def test_both_are_chosen_on_the_command_line():
    pairs = ["residual=ssim", "predict_scale=false", "voxel_score=elbo_product", "sample_score=elbo"]
    values = parse_overrides(pairs, {"method": VAEKLConfig}, flags={})["method"]
    config = VAEKLConfig.from_dict({**SMALL, **values})
    assert (config.residual, config.voxel_score, config.sample_score) == ("ssim", "elbo_product", "elbo")
