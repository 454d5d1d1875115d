import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models import create


def batch(size: tuple[int, ...] = (16, 16), channels: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.rand((3, 1, *size), generator=generator) > 0.4
    return {"image": torch.rand((3, channels, *size), generator=generator) * brain, "brain": brain}


def vae(**config: object) -> torch.nn.Module:
    torch.manual_seed(1)
    return create("vae", in_channels=2, size=(16, 16), channels=(8, 8), latent_dim=3, **config)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("scale", ["voxel", "one"])
def test_loss_is_the_negative_evidence_lower_bound_per_voxel(norm: str, scale: str) -> None:
    """Against loops over images, channels, voxels and latents, from the densities themselves."""
    method, given = vae(reconstruction_loss=norm, scale=scale, normalise=False, beta=0.7), batch()
    found = method.loss(given, generator=torch.Generator().manual_seed(5))
    mean, log_variance = method.network.encode(given["image"])
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    decoded = method.network.decode(mean + torch.exp(log_variance / 2) * noise)
    errors, scales, kl = [], [], 0.0
    for b in range(3):
        for k in range(3):
            m, v = float(mean[b, k].detach()), math.exp(float(log_variance[b, k].detach()))
            kl += 0.5 * (m * m + v - 1 - math.log(v))
        for c in range(2):
            inside = given["brain"][b, 0]
            errors += (given["image"][b, c] - decoded[b, c])[inside].abs().tolist()
            scales += decoded[b, c + 2][inside].clamp(-6, 2).exp().tolist() if scale == "voxel" else []
    power = 1 if norm == "l1" else 2
    if scale == "one":
        scales = [(sum(e**power for e in errors) / len(errors)) ** (1 / power)] * len(errors)
    density = sum((e / s) ** power / power + math.log(s) for e, s in zip(errors, scales, strict=True)) / len(errors)
    constant = 1 / power if scale == "one" else 0.0  # the best one scale makes this term constant; it is left out
    assert found["loss"].item() == pytest.approx(density - constant + 0.7 * kl / len(errors), abs=1e-5)
    assert float(found["kl"]) == pytest.approx(kl / 3, rel=1e-5)
    assert float(found["reconstruction"]) == pytest.approx(sum(e**power for e in errors) / len(errors), rel=1e-5)


def test_noise_comes_from_the_generator_only() -> None:
    method, given = vae(), batch()
    losses = [method.loss(given, generator=torch.Generator().manual_seed(seed))["loss"].item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_the_map_is_in_units_of_the_predicted_scale() -> None:
    method, given = vae().eval(), batch()
    image = given["image"]
    mean, _ = method.network.encode(image)
    reconstruction, log_scale = method.network.decode(mean).detach().chunk(2, dim=1)
    inside = (image != 0).any(dim=1, keepdim=True)
    expected = ((image - reconstruction).abs() / log_scale.clamp(-6, 2).exp()).mean(dim=1, keepdim=True) * inside
    torch.testing.assert_close(method.anomaly_map(image), expected)
    plain = vae(normalise=False).eval()
    torch.testing.assert_close(
        plain.anomaly_map(image), (image - plain.reconstruct(image)).abs().mean(dim=1, keepdim=True) * inside
    )


def test_a_scale_that_is_not_predicted_cannot_be_divided_by() -> None:
    with pytest.raises(InputError, match="scale=voxel"):
        vae(scale="one", normalise=True)
    with pytest.raises(InputError, match="beta: expected at least 0"):
        vae(beta=-1.0)


def test_predicted_scale_learns_where_images_differ() -> None:
    """Half the image is the same in all, half is noise: the scale must tell them apart."""
    torch.manual_seed(0)
    method = create("vae", size=(16, 16), channels=(8, 8), latent_dim=2)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
    brain = torch.ones(16, 1, 16, 16, dtype=torch.bool)
    for _ in range(120):
        image = torch.full((16, 1, 16, 16), 0.5)
        image[..., 8:] += 0.2 * torch.randn(16, 1, 16, 8)
        optimiser.zero_grad()
        method.loss({"image": image, "brain": brain})["loss"].backward()
        optimiser.step()
    mean, _ = method.eval().network.encode(image)
    _, log_scale = method.network.decode(mean).detach().chunk(2, dim=1)
    assert log_scale[..., 9:].mean() > log_scale[..., :7].mean() + 0.7
