"""Equation 2 step by step, and what it is for: units that stay in use where the plain bound loses them."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from uad_data.errors import InputError
from uad_models.methods.collapse_robust_vae import CollapseRobustVAE, CollapseRobustVAEConfig
from uad_models.registry import create

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def autoencoder(**changes: object) -> CollapseRobustVAE:
    torch.manual_seed(0)
    return CollapseRobustVAE(CollapseRobustVAEConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 3:12, 4:14] = True
    return {"image": torch.rand((3, 1, 16, 16), generator=generator) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def parts(method: CollapseRobustVAE, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean KL divergence per unit of the code and mean absolute error per brain voxel."""
    mean, log_variance = method.network.encode(data["image"])
    posterior = Normal(mean, (log_variance / 2).exp())
    code = mean + posterior.stddev * torch.randn(mean.shape, generator=seeded())
    error = (data["image"] - method.decode(code)[0])[data["brain"]].abs().mean()
    return kl_divergence(posterior, Normal(0.0, 1.0)).mean(), error


def test_training_follows_equation_2():
    method, data = autoencoder(beta=2.0), batch()
    errors = []
    for t in range(103):
        scaled = {**data, "image": data["image"] * (1 + t % 3)}
        divergence, error = parts(method, scaled)
        errors.append(error.item())
        last = errors[-10:]
        cycle = t % 50
        beta = 2 * cycle / 50 if cycle < 25 else 1.0
        expected = errors[-1] / (sum(last) / len(last)) + 2.0 * beta * divergence.item()
        losses = method.loss(scaled, generator=seeded())
        assert losses["loss"].item() == pytest.approx(expected, rel=1e-4)
        assert losses["error"].item() == pytest.approx(errors[-1], rel=1e-4)


def test_sigma_is_a_number_and_passes_no_gradient():
    method, data = autoencoder(), batch()
    _, error = parts(method, data)
    (expected,) = torch.autograd.grad(error / error.item(), method.network.first[0].weight)
    (found,) = torch.autograd.grad(method.loss(data, generator=seeded())["loss"], method.network.first[0].weight)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_eval_is_equation_1_and_keeps_its_place_in_the_cycle():
    method, data = autoencoder(), batch()
    method.loss(data, generator=seeded())
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.eval()
    divergence, error = parts(method, data)
    torch.testing.assert_close(method.loss(data, generator=seeded())["loss"], error + divergence)
    assert before["steps_done"] == 1
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_it_keeps_units_in_use_where_the_plain_bound_with_unit_variance_loses_them():
    generator = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    radius = torch.stack(axes).norm(dim=0).expand(32, 1, 16, 16)
    outer, bright, dark = (torch.rand((32, 1, 1, 1), generator=generator) for _ in range(3))
    brain = radius < 0.7 + 0.2 * outer
    image = (0.5 + 0.3 * bright) * torch.where(radius < 0.4, 0.5 + 0.4 * dark, 1.0) * brain
    settings = {"size": (16, 16), "channels": (8, 16), "latent_dim": 8, "predict_scale": False}
    active = {}
    for name, changes in {"vae": {"fixed_scale": 1.0}, "collapse_robust_vae": {}}.items():
        torch.manual_seed(0)
        method = create(name, **settings, **changes, reconstruction_loss="l2")
        optimiser = torch.optim.Adam(method.parameters(), 3e-3)
        for _ in range(100):
            optimiser.zero_grad()
            method.loss({"image": image, "brain": brain}, generator=generator)["loss"].backward()
            optimiser.step()
        with torch.no_grad():
            active[name] = method.eval().loss({"image": image, "brain": brain}, generator=generator)["active_units"]
    assert active["vae"] <= 1
    assert active["collapse_robust_vae"] >= 5


def test_the_paper_preset_is_lamberts():
    preset = CollapseRobustVAE.presets["paper"].config
    paper = CollapseRobustVAEConfig.from_dict(preset)
    assert (paper.reconstruction_loss, paper.predict_scale, paper.residual, paper.beta) == ("l1", False, "signed", 1.0)
    # 1-32-64-128-256 and back, kernels of 4; a dense code of 128 for 2 x 2 features of 256 channels.
    stack, norms = 32 + 2048 + 8192 + 32768, 2 * (32 + 64 + 128 + 256) + 2 * (128 + 64 + 32)
    assert 32 * stack + norms + 2 * (1024 * 128 + 128) + 128 * 1024 + 512 + 1 == 1772673
    network = create("collapse_robust_vae", **{**preset, "size": (32, 32)})
    assert sum(each.numel() for each in network.parameters()) == 1772673


@pytest.mark.parametrize("values", [{"predict_scale": True}, {"fixed_scale": 0.1}])
def test_a_scale_is_refused(values):
    with pytest.raises(InputError, match="the objective has no scale"):
        CollapseRobustVAEConfig(**{**SMALL, **values})
