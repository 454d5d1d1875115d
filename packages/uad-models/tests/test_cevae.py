"""The context-encoding VAE: its loss term by term, its score and its settings."""

import torch
from torch.distributions import Normal, kl_divergence

from uad_data.corruptions.context_mask import context_mask
from uad_models.methods.cevae import CEVAE, CEVAEConfig
from uad_models.registry import create, method_class
from uad_models.scores.kl_gradient import gradient_map, times_gradient

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": (torch.rand((3, 1, 16, 16), generator=generator) + 0.1) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_the_loss_is_divergence_and_both_reconstructions_and_masked_images_are_not_sampled():
    torch.manual_seed(0)
    method, data = CEVAE(CEVAEConfig(**SMALL)).eval(), batch()
    image, brain, voxels = data["image"], data["brain"], data["brain"].sum()
    generator = seeded()
    mean, log_variance = method.network.encode(image)
    noise = torch.randn(mean.shape, generator=generator)
    masked = context_mask(image, brain, generator=generator).image
    assert (masked != image).any()
    loss = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum() / voxels
    for code in (mean + (log_variance / 2).exp() * noise, method.network.encode(masked)[0]):
        expected, scale = method.decode(code)
        unlikely = (image - expected).square() / (2 * scale.square()) + scale.log()
        loss = loss + unlikely[brain].mean()
    torch.testing.assert_close(method.loss(data, generator=seeded())["loss"], loss)


def test_the_map_is_the_residual_times_the_derivative_of_the_bound():
    torch.manual_seed(0)
    method, data = CEVAE(CEVAEConfig(**SMALL)).eval(), batch()
    plain = create("vae_kl", **SMALL, voxel_score="residual").eval()
    plain.load_state_dict(method.state_dict())
    gradient = gradient_map(method.negative_bound, data["image"], smoothing=method.config.gradient_smoothing)
    expected = times_gradient(plain.anomaly_map(data["image"]), gradient, data["brain"])
    torch.testing.assert_close(method.anomaly_map(data["image"]), expected)


def test_the_paper_s_settings():
    paper = create("cevae", **{**method_class("cevae").presets["paper"].config, "size": (64, 64)}).config
    assert paper.channels == (16, 64, 256, 1024)
    assert (paper.latent_dim, paper.corruption, paper.sample_score) == (1024, "context_mask", "elbo")
