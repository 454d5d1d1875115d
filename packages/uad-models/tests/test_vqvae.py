"""The VQ-VAE's loss terms, its groups, its codes and its map, each worked out apart."""

import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.vqvae import VQVAE, VQVAEConfig, spectral_distance
from uad_models.scores import residual_map

SMALL = {"size": (16, 16), "channels": (8, 8), "codes": 6, "code_dim": 4, "predict_scale": False}


def vqvae(**changes: object) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(VQVAEConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[:, :, 3:13, 2:14] = True
    return {"image": torch.rand(3, 1, 16, 16, generator=generator) * brain, "brain": brain}


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_the_loss_is_the_error_over_the_brain_and_the_commitment(norm, power):
    method, given = vqvae(reconstruction_loss=norm).eval(), batch()
    quantised = method.quantiser(method.network.encode(given["image"]))
    difference = (given["image"] - method.network.decode(quantised.vectors))[given["brain"]]
    losses = method.loss(given)
    torch.testing.assert_close(losses["error"], difference.abs().pow(power).mean())
    torch.testing.assert_close(losses["loss"], losses["error"] + quantised.loss)
    assert losses["codes_in_use"] == len(quantised.codes.unique()) / 6


def test_codes_have_the_grid_of_the_config_and_decode_to_the_reconstruction():
    method, image = vqvae().eval(), batch()["image"]
    codes = method.codes(image)
    assert codes.shape == (3, *method.config.grid) == (3, 4, 4)
    inside = image != 0
    torch.testing.assert_close(method.reconstruct(image)[inside], method.decode(codes)[0][inside])
    assert torch.equal(method.anomaly_map(image), residual_map(image, method.reconstruct(image), "l1"))


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_predicted_error_is_learnt_by_likelihood_and_divides_the_residual(norm):
    method, given = vqvae(predict_scale=True, reconstruction_loss=norm).eval(), batch()
    image, brain = given["image"], given["brain"]
    quantised = method.quantiser(method.network.encode(image))
    made, scale = method.decode(quantised.codes)
    assert scale.min() > 0
    family = torch.distributions.Laplace if norm == "l1" else torch.distributions.Normal
    constant = math.log(2) if norm == "l1" else math.log(2 * math.pi) / 2
    likelihood = family(made, scale).log_prob(image)[brain].mean() + constant
    torch.testing.assert_close(method.loss(given)["loss"], quantised.loss - likelihood)
    torch.testing.assert_close(method.anomaly_map(image)[brain], ((image - made).abs() / scale)[brain])
    assert torch.equal(method.reconstruct(image)[brain], made[brain])


def test_codes_are_the_same_in_training_mode_and_move_nothing():
    method, image = vqvae(), batch()["image"]
    method.loss(batch())
    before = {name: value.clone() for name, value in method.state_dict().items()}
    codes = method.train().codes(image)
    assert torch.equal(codes, method.eval().codes(image))
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_spectral_distance_sees_structure_and_no_shift():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 8, 8, generator=generator)
    assert spectral_distance(image, image) == 0
    torch.testing.assert_close(spectral_distance(image, image.roll(3, -1)), torch.tensor(0.0), atol=1e-10, rtol=0)
    flat = image.mean(dim=(2, 3), keepdim=True).expand_as(image)
    assert spectral_distance(image, flat) > 0.1


def test_the_spectral_term_is_added_with_its_weight():
    plain, weighted = vqvae().eval(), vqvae(spectral_weight=2.0).eval()
    given = batch()
    made = plain.network.decode(plain.quantiser(plain.network.encode(given["image"])).vectors) * given["brain"]
    expected = plain.loss(given)["loss"] + 2 * spectral_distance(given["image"], made)
    torch.testing.assert_close(weighted.loss(given)["loss"], expected)


def test_an_adversarial_term_has_an_opponent_whose_loss_trains_it_alone():
    method, given = vqvae(adversarial_weight=0.1), batch()
    groups = method.parameter_groups("fit")
    assert list(groups) == ["network", "discriminator"]
    assert {id(p) for group in groups.values() for p in group} == {id(p) for p in method.parameters()}
    method.loss(given, group="network")
    book = method.quantiser.codebook.clone()
    method.loss(given, group="discriminator")["loss"].backward()
    assert all(p.grad is not None for p in groups["discriminator"])
    assert method.discriminator.layers[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in groups["network"])
    assert torch.equal(method.quantiser.codebook, book)


def test_the_opponent_learns_to_tell_and_the_network_is_drawn_towards_it():
    method, given = vqvae(adversarial_weight=0.1).eval(), batch()
    optimiser = torch.optim.Adam(method.parameter_groups("fit")["discriminator"], 1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        losses.append(method.loss(given, group="discriminator")["loss"])
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 2
    without = vqvae().eval()
    without.load_state_dict({k: v for k, v in method.state_dict().items() if not k.startswith("discriminator")})
    # Validations are not judged by an opponent that moves.
    torch.testing.assert_close(method.loss(given, group="network")["loss"], without.loss(given)["loss"])
    judged = []
    method.discriminator.register_forward_hook(lambda *seen: judged.append(seen[-1].detach().mean()))
    found, plain = (
        each.train().loss(given, generator=torch.Generator().manual_seed(0), **group)["loss"]
        for each, group in ((method, {"group": "network"}), (without, {}))
    )
    torch.testing.assert_close(found, plain - 0.1 * judged[-1])
    assert judged[-1] != 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", ()),
        ("blocks", -1),
        ("codes", 1),
        ("code_dim", 0),
        ("decay", 1.0),
        ("commitment", -0.1),
        ("revive_below", 1.5),
        ("adversarial_weight", -1.0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=field):
        vqvae(**{field: value})


def test_a_structural_residual_cannot_be_counted_in_expected_errors():
    with pytest.raises(InputError, match="predict_scale"):
        vqvae(residual="ssim", predict_scale=True)
