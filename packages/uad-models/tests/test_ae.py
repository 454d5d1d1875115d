"""The autoencoder's loss, its predicted scale, its map and its presets, each worked out apart."""

import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.ae import (
    AE,
    SMALLEST_SCALE,
    AEConfig,
    brain_mean,
    deviation,
    magnitude,
    negative_log_likelihood,
)
from uad_models.networks.feature_dropout import FeatureDropout
from uad_models.ssim import ssim_map

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def autoencoder(**changes: object) -> AE:
    torch.manual_seed(0)
    return AE(AEConfig(**{**SMALL, **changes}))


def batch(channels: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": torch.rand((3, channels, 16, 16), generator=generator) * brain, "brain": brain}


def test_the_mean_is_over_brain_voxels_and_channels():
    values = torch.arange(8.0).reshape(1, 2, 2, 2)
    brain = torch.tensor([[[[True, False], [True, False]]]])
    assert brain_mean(values, brain).item() == (0 + 2 + 4 + 6) / 4
    assert brain_mean(values, torch.zeros_like(brain)).item() == 0


@pytest.mark.parametrize(
    ("norm", "distribution"), [("l1", torch.distributions.Laplace), ("l2", torch.distributions.Normal)]
)
def test_the_likelihood_is_that_of_torch_up_to_its_constant(norm, distribution):
    difference, scale = torch.tensor([-1.0, 0.0, 0.3, 2.0]), torch.tensor([0.1, 0.5, 1.0, 3.0])
    constant = {"l1": math.log(2), "l2": math.log(2 * math.pi) / 2}[norm]
    expected = -distribution(torch.zeros(4), scale).log_prob(difference) - constant
    torch.testing.assert_close(negative_log_likelihood(difference, scale, norm), expected)


def test_magnitude_is_absolute_or_squared():
    assert magnitude(torch.tensor([-3.0, 2.0]), "l1").tolist() == [3.0, 2.0]
    assert magnitude(torch.tensor([-3.0, 2.0]), "l2").tolist() == [9.0, 4.0]
    assert magnitude(torch.tensor([0.3, 1.5]), "ssim").tolist() == pytest.approx([0.3, 1.5])


def test_the_dissimilarity_is_that_of_the_image_and_its_reconstruction_cut_to_the_brain():
    data = batch(channels=2)
    reconstruction = torch.rand((3, 2, 16, 16), generator=torch.Generator().manual_seed(1))
    found = deviation(data["image"], reconstruction, data["brain"], "ssim")
    torch.testing.assert_close(found, 1 - ssim_map(data["image"], reconstruction * data["brain"]))
    elsewhere = torch.where(data["brain"], reconstruction, 9.0)
    torch.testing.assert_close(deviation(data["image"], elsewhere, data["brain"], "ssim"), found)


def test_with_ssim_the_loss_is_the_mean_dissimilarity_inside_the_brain():
    method, data = autoencoder(predict_scale=False, reconstruction_loss="ssim").eval(), batch()
    similarity = ssim_map(data["image"], method.reconstruct(data["image"]))
    torch.testing.assert_close(method.loss(data)["loss"], 1 - similarity[data["brain"]].mean())


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_the_plain_loss_is_the_mean_error_inside_the_brain(norm, power):
    method, data = autoencoder(predict_scale=False, reconstruction_loss=norm).eval(), batch()
    inside = data["brain"]
    error = (method.reconstruct(data["image"]) - data["image"])[inside].abs().pow(power).mean()
    losses = method.loss(data)
    torch.testing.assert_close(losses["loss"], error)
    torch.testing.assert_close(losses["error"], error.detach())


def test_with_a_scale_the_loss_is_the_mean_likelihood_inside_the_brain():
    method, data = autoencoder(in_channels=2).eval(), batch(channels=2)
    reconstruction, scale = method.decode(method.network.encode(data["image"])[0])
    inside = data["brain"].expand_as(scale)
    difference = (data["image"] - reconstruction)[inside]
    expected = (difference.square() / (2 * scale[inside].square()) + scale[inside].log()).mean()
    torch.testing.assert_close(method.loss(data)["loss"], expected)


def test_what_lies_outside_the_brain_does_not_matter_to_the_loss():
    method, data = autoencoder().eval(), batch()
    reconstruction, scale = method.decode(method.network.encode(data["image"])[0])
    with pytest.MonkeyPatch.context() as patch:
        outside = ~data["brain"]
        patch.setattr(method, "decode", lambda code, drop: (reconstruction + 9 * outside, scale + 9 * outside))
        changed = method.loss(data)["loss"]
    torch.testing.assert_close(changed, method.loss(data)["loss"])


def test_the_scale_is_positive_and_as_wide_as_the_image():
    method = autoencoder(in_channels=2)
    reconstruction, scale = method.decode(100 * torch.randn(5, 4))
    assert scale.shape == reconstruction.shape == (5, 2, 16, 16)
    assert scale.min() >= SMALLEST_SCALE
    assert autoencoder(predict_scale=False).decode(torch.randn(5, 4))[1] is None


def test_the_map_is_the_residual_in_expected_errors():
    method, data = autoencoder().eval(), batch()
    reconstruction, scale = method.decode(method.network.encode(data["image"])[0])
    expected = (data["image"] - reconstruction).abs() / scale * data["brain"]
    torch.testing.assert_close(method.anomaly_map(data["image"]), expected)


def test_the_plain_signed_map_shows_only_what_is_brighter():
    method, data = autoencoder(predict_scale=False, residual="signed").eval(), batch()
    expected = (data["image"] - method.reconstruct(data["image"])).clamp(min=0)
    torch.testing.assert_close(method.anomaly_map(data["image"]), expected * data["brain"])


def test_the_scale_learns_where_errors_are_large():
    generator = torch.Generator().manual_seed(0)
    method = autoencoder()
    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    brain = torch.ones(64, 1, 16, 16, dtype=torch.bool)
    spread = torch.full((16, 16), 0.05)
    spread[:, 8:] = 0.4
    for _ in range(60):
        image = 1 + spread * torch.randn((64, 1, 16, 16), generator=generator)
        optimiser.zero_grad()
        method.loss({"image": image, "brain": brain})["loss"].backward()
        optimiser.step()
    _, scale = method.eval().decode(method.network.encode(image)[0])
    assert scale[..., 8:].mean() > 3 * scale[..., :8].mean()


def test_paper_is_the_plain_autoencoder():
    paper = AEConfig.from_dict(AE.presets["paper"].config)
    assert (paper.latent_dim, paper.predict_scale, paper.residual) == (32, False, "signed")


def dropping(samples: int) -> AE:
    method = autoencoder(dropout=0.3, mc_samples=samples, channels=(8, 8, 8))
    for layer in method.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.bias.data.uniform_(-1, 1)
    return method.eval()


def test_with_samples_the_map_is_the_mean_over_fixed_masks():
    method, data = dropping(3), batch()
    generator = torch.Generator().manual_seed(0)
    drop = FeatureDropout(0.3, generator, shared=True)
    maps, images = [], []
    for _ in range(3):
        reconstruction, scale = method.decode(method.network.encode(data["image"], drop=drop)[0], drop=drop)
        maps.append((data["image"] - reconstruction).abs() / scale * data["brain"])
        images.append(reconstruction * data["brain"])
    torch.testing.assert_close(method.anomaly_map(data["image"]), sum(maps) / 3)
    torch.testing.assert_close(method.reconstruct(data["image"]), sum(images) / 3)
    deviations = [(image - sum(images) / 3).square() for image in images]
    torch.testing.assert_close(method.uncertainty_map(data["image"]), (sum(deviations) / 2).sqrt())
    assert not torch.allclose(images[0], images[1])


def test_uncertainty_is_averaged_over_channels_and_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    method = AE(AEConfig(**{**SMALL, "in_channels": 2, "dropout": 0.5, "mc_samples": 4})).eval()
    image, brain = batch(channels=2).values()
    together = method.uncertainty_map(image)
    assert together.shape == (3, 1, 16, 16)
    assert together[~brain].abs().max() == 0
    assert together[brain].min() > 0
    torch.testing.assert_close(torch.cat([method.uncertainty_map(each[None]) for each in image]), together)


def test_without_samples_nothing_is_dropped_in_eval_and_there_is_no_uncertainty():
    plain, method = autoencoder().eval(), autoencoder(dropout=0.5).eval()
    data = batch()
    assert torch.equal(plain.anomaly_map(data["image"]), method.anomaly_map(data["image"]))
    assert torch.equal(plain.loss(data)["loss"], method.loss(data)["loss"])
    with pytest.raises(InputError, match="mc_samples=0"):
        method.uncertainty_map(data["image"])


def test_dropout_in_training_comes_from_the_generator():
    method, data = autoencoder(dropout=0.5), batch()
    losses = [method.loss(data, generator=torch.Generator().manual_seed(s))["loss"].item() for s in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernels": (3, 3, 3)}, "kernels: expected one number or 2"),
        ({"code_kernel": 0}, "code_kernel: expected at least 1, got 0"),
        ({"reconstruction_loss": "ssim"}, "set predict_scale to false"),
        ({"residual": "ssim"}, "set predict_scale to false"),
        ({"dropout": 1.0}, "dropout: expected at least 0 and below 1, got 1.0"),
        ({"dropout": 0.2, "mc_samples": 1}, "mc_samples: expected 0, or at least 2"),
        ({"mc_samples": 5}, "dropout above 0, got 5 with 0.0"),
        ({"channels": ()}, "channels: expected at least one width"),
        ({"channels": (8, 0)}, "all positive"),
        ({"latent_dim": 0}, "latent_dim: expected at least 1, got 0"),
        ({"reconstruction_loss": "l3"}, "unknown value 'l3'"),
        ({"size": (16, 20), "channels": (8, 8, 8)}, r"multiple of 8; the nearest valid: \(16, 16\) or \(16, 24\)"),
    ],
)
def test_settings_without_meaning_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        AEConfig(**{**SMALL, **values})
