"""The bound, its reductions, its scales, free bits, signs of collapse and the presets, each worked out apart."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from uad_data.errors import InputError
from uad_models.methods.vae import VAE, VAEConfig, best_scale, collapse_diagnostics
from uad_models.registry import create
from uad_models.ssim import ssim_map

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def autoencoder(**changes: object) -> VAE:
    torch.manual_seed(0)
    return VAE(VAEConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": torch.rand((3, 1, 16, 16), generator=generator) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def parts(method: VAE, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """KL divergence per image and latent, difference inside the brain, scale inside the brain."""
    mean, log_variance = method.network.encode(data["image"])
    posterior = Normal(mean, (log_variance / 2).exp())
    code = mean + posterior.stddev * torch.randn(mean.shape, generator=seeded())
    reconstruction, scale = method.decode(code)
    inside = data["brain"]
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).flatten(1)
    return divergence, (data["image"] - reconstruction)[inside], None if scale is None else scale[inside]


@pytest.mark.parametrize("latent", ["dense", "spatial"])
@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_bound_sums_over_voxels_and_latents_then_divides_by_voxels(latent, beta):
    method, data = autoencoder(latent=latent, beta=beta).eval(), batch()
    divergence, difference, scale = parts(method, data)
    unlikely = (difference.square() / (2 * scale.square()) + scale.log()).sum() / 3
    bound = unlikely + beta * divergence.sum(dim=1).mean()
    voxels = data["brain"].sum() / 3
    losses = method.loss(data, generator=seeded())
    torch.testing.assert_close(losses["loss"], bound / voxels)
    torch.testing.assert_close(losses["kl"], divergence.detach().sum(dim=1).mean())
    torch.testing.assert_close(losses["error"], difference.detach().square().mean())


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_without_a_predicted_scale_the_likeliest_one_is_used(norm, power):
    method, data = autoencoder(predict_scale=False, reconstruction_loss=norm).eval(), batch()
    divergence, difference, _ = parts(method, data)
    error = difference.abs().pow(power).mean()
    expected = (1 + error.log()) / power + divergence.sum() / data["brain"].sum()
    torch.testing.assert_close(method.loss(data, generator=seeded())["loss"], expected)


@pytest.mark.parametrize(("norm", "expected"), [("l1", 0.25), ("l2", 0.5)])
def test_the_likeliest_scale_is_finite_without_error(norm, expected):
    assert best_scale(torch.tensor(0.25), norm).item() == expected
    nothing = torch.zeros((), requires_grad=True)
    best_scale(nothing, norm).log().backward()
    assert torch.isfinite(nothing.grad)


def test_training_samples_the_code_and_reconstruction_takes_its_mean():
    method, data = autoencoder().eval(), batch()
    one, other = (method.loss(data, generator=torch.Generator().manual_seed(s))["loss"] for s in (1, 2))
    assert one != other
    mean, _ = method.network.encode(data["image"])
    torch.testing.assert_close(method.reconstruct(data["image"]), method.decode(mean)[0] * data["brain"])


def test_beta_pulls_the_code_to_the_prior():
    divergences = {}
    for beta in (0.0, 100.0):
        method = autoencoder(beta=beta)
        optimiser = torch.optim.Adam(method.parameters(), 1e-2)
        for _ in range(40):
            optimiser.zero_grad()
            losses = method.loss(batch(), generator=seeded())
            losses["loss"].backward()
            optimiser.step()
        divergences[beta] = losses["kl"].item()
    assert divergences[100.0] < divergences[0.0] / 10


@pytest.mark.parametrize(("norm", "scale"), [("l1", 0.3), ("l2", 0.3), ("l2", 0.5**0.5)])
def test_a_fixed_scale_gives_the_textbooks_sums(norm, scale):
    method, data = autoencoder(predict_scale=False, reconstruction_loss=norm, fixed_scale=scale).eval(), batch()
    divergence, difference, _ = parts(method, data)
    total, voxels = 0.0, len(difference)
    for each in difference.tolist():
        total += abs(each) / scale if norm == "l1" else each**2 / (2 * scale**2)
    constant = torch.tensor(scale).log()
    expected = (total + divergence.sum()) / voxels + constant
    torch.testing.assert_close(method.loss(data, generator=seeded())["loss"], expected)


def test_with_ssim_the_likelihood_is_exponential_in_the_dissimilarity():
    method, data = autoencoder(predict_scale=False, reconstruction_loss="ssim").eval(), batch()
    mean, log_variance = method.network.encode(data["image"])
    code = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=seeded())
    divergence, _, _ = parts(method, data)
    dissimilarity = 1 - ssim_map(data["image"], method.decode(code)[0] * data["brain"])[data["brain"]]
    likelihood = torch.distributions.Exponential(1 / dissimilarity.mean()).log_prob(dissimilarity).mean()
    losses = method.loss(data, generator=seeded())
    torch.testing.assert_close(losses["loss"], divergence.sum() / data["brain"].sum() - likelihood)
    torch.testing.assert_close(losses["error"], dissimilarity.detach().mean())


@pytest.mark.parametrize("free_bits", [0.001, 0.1, 5.0])
def test_with_free_bits_a_unit_costs_no_less_than_these(free_bits):
    method, data = autoencoder(free_bits=free_bits).eval(), batch()
    divergence, difference, scale = parts(method, data)
    charged = 0.0
    for unit in range(4):
        mean = sum(divergence[image, unit].item() for image in range(3)) / 3
        charged += max(mean, free_bits)
    unlikely = (difference.square() / (2 * scale.square()) + scale.log()).sum() / 3
    voxels = data["brain"].sum() / 3
    losses = method.loss(data, generator=seeded())
    torch.testing.assert_close(losses["loss"], (unlikely + charged) / voxels)
    torch.testing.assert_close(losses["kl"], divergence.detach().sum(dim=1).mean())


def test_active_units_vary_over_the_batch():
    mean = torch.tensor([[1.0, 0.0, 0.2], [1.0, 0.19, -0.2], [1.0, 0.0, 0.2], [1.0, 0.19, -0.2]])
    divergence = torch.tensor([[4.0, 0.0, 1.0], [2.0, 0.0, 1.0], [4.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    found = {name: value.item() for name, value in collapse_diagnostics(mean, divergence).items()}
    assert found == {
        "active_units": 1.0,
        "kl_unit_min": 0.0,
        "kl_unit_mean": pytest.approx(4 / 3),
        "kl_unit_max": 3.0,
    }


def test_units_of_a_grid_are_counted_one_by_one():
    mean = torch.zeros(2, 3, 2, 2)
    mean[0, 1] = 1.0
    mean[0, 2, 0, 1] = 1.0
    assert collapse_diagnostics(mean, torch.zeros(2, 12))["active_units"] == 5


def test_signs_of_collapse_are_logged_and_hold_no_gradient():
    losses = autoencoder().loss(batch(), generator=seeded())
    assert set(losses) == {"loss", "error", "kl", "active_units", "kl_unit_min", "kl_unit_mean", "kl_unit_max"}
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]
    assert all(value.shape == () and value.dtype == torch.float32 for value in losses.values())
    assert 4 * losses["kl_unit_mean"].item() == pytest.approx(losses["kl"].item(), rel=1e-5)


def test_presets_are_the_papers():
    paper, poster = (VAEConfig.from_dict(VAE.presets[name].config) for name in ("paper", "poster"))
    assert (paper.reconstruction_loss, paper.residual) == ("l1", "signed")
    assert (poster.reconstruction_loss, poster.latent_dim) == ("l2", 32)


def parameters(**config: object) -> int:
    return sum(each.numel() for each in create("vae", **config).parameters())


def test_the_thesiss_network_has_six_blocks_to_512_channels_split_in_two():
    # Kernels of 4: 1-16-32-64-128-256-512 and back 256-256-128-64-32-16-1, products summed by hand.
    down, up = 16 + 512 + 2048 + 8192 + 32768 + 131072, 65536 + 32768 + 8192 + 2048 + 512 + 16
    norms = 2 * (16 + 32 + 64 + 128 + 256) + 2 * (256 + 128 + 64 + 32 + 16)
    assert 16 * (down + up) + norms + 512 + 1 == 4541377
    config = {**VAE.presets["thesis"].config, "size": (128, 128)}
    assert parameters(**config) == 4541377
    network = create("vae", **config).network.eval()
    mean, log_variance = network.encode(torch.rand(1, 1, 128, 128))
    assert mean.shape == log_variance.shape == (1, 256, 2, 2)


def test_lamberts_network_has_four_convolutions_two_heads_and_a_decoder_of_five_layers():
    paper = VAE.presets["paper"].config
    # 1-32-64-128-256 and back; a dense code of 128 for 2 x 2 features of 256 channels.
    stack, norms = 32 + 2048 + 8192 + 32768, 2 * (32 + 64 + 128 + 256) + 2 * (128 + 64 + 32)
    heads, first = 2 * (1024 * 128 + 128), 128 * 1024 + 2 * 256
    assert 2 * 16 * stack + norms + heads + first + 1 == 1772673
    assert parameters(**{**paper, "size": (32, 32)}) == 1772673
    heads, first = 2 * (256 * 128 + 128), 128 * 256 + 2 * 256
    assert 2 * 64 * stack + norms + heads + first + 1 == 5609601
    assert parameters(**{**paper, "size": (32, 32, 32), "latent": "spatial"}) == 5609601


@pytest.mark.parametrize("latent_dim", [8, 512])
def test_the_posters_latent_size_can_be_set(latent_dim):
    # Two heads with their biases and the decoder's first layer, for 2 x 2 features of 256 channels.
    rest = 2 * 16 * (32 + 2048 + 8192 + 32768) + 2 * (32 + 64 + 128 + 256) + 2 * (128 + 64 + 32) + 2 * 256 + 1
    config = {**VAE.presets["poster"].config, "size": (32, 32), "latent_dim": latent_dim}
    assert parameters(**config) == rest + latent_dim * (3 * 1024 + 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": -1.0}, "beta: expected at least 0, got -1.0"),
        ({"free_bits": -0.1}, "free_bits: expected at least 0, got -0.1"),
        ({"fixed_scale": 0.1}, "fixed_scale: expected a positive number, and predict_scale false"),
        ({"fixed_scale": 0.0, "predict_scale": False}, "fixed_scale: expected a positive number"),
        ({"latent": "features"}, 'expected "dense" or "spatial"'),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_settings_without_meaning_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        VAEConfig(**{**SMALL, **values})
