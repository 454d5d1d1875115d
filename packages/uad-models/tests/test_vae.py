"""The bound, its reductions, the robust objective and the presets, each worked out apart."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from uad_data.errors import InputError
from uad_models.methods.vae import CYCLE, VAE, WINDOW, VAEConfig, best_scale

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


def test_the_robust_objective_follows_equation_2():
    method, data = autoencoder(objective="robust", predict_scale=False, reconstruction_loss="l1"), batch()
    errors = []
    for step in range(CYCLE + 2):
        divergence, difference, _ = parts(method, data)
        errors.append(difference.abs().mean().item() * (1 + step % 3))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("uad_models.methods.vae.magnitude", lambda d, norm, step=step: d.abs() * (1 + step % 3))
            loss = method.loss(data, generator=seeded())["loss"].item()
        beta = 2 * step / 50 if step < 25 else 1.0 if step < 50 else 2 * (step - 50) / 50
        typical = sum(errors[-WINDOW:]) / len(errors[-WINDOW:])
        assert loss == pytest.approx(errors[-1] / typical + beta * divergence.mean().item(), rel=1e-4)


def test_the_robust_objective_in_eval_is_equation_1_and_keeps_its_place():
    method, data = autoencoder(objective="robust", predict_scale=False, reconstruction_loss="l1"), batch()
    method.loss(data, generator=seeded())
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.eval()
    divergence, difference, _ = parts(method, data)
    loss = method.loss(data, generator=seeded())["loss"]
    torch.testing.assert_close(loss, difference.abs().mean() + divergence.mean())
    assert before["steps_done"] == 1
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_presets_are_the_papers():
    paper, poster = (VAEConfig.from_dict(VAE.presets[name].config) for name in ("paper", "poster"))
    assert (paper.objective, paper.reconstruction_loss, paper.residual) == ("robust", "l1", "signed")
    assert (poster.objective, poster.reconstruction_loss, poster.latent_dim) == ("elbo", "l2", 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": -1.0}, "beta: expected at least 0, got -1.0"),
        ({"objective": "robust"}, "set predict_scale to false"),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_settings_without_meaning_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        VAEConfig(**{**SMALL, **values})
