"""The autoencoder's loss, its predicted scale, its map and its presets, each worked out apart."""

import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.ae import AE, SMALLEST_SCALE, AEConfig, brain_mean, magnitude, negative_log_likelihood

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
        patch.setattr(method, "decode", lambda code: (reconstruction + 9 * outside, scale + 9 * outside))
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
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
