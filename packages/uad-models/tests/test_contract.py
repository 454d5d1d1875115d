"""What every method promises, checked over the registry: a new method is tested by being registered."""

import dataclasses

import pytest
import torch

from uad_data.errors import InputError
from uad_models.method import Method
from uad_models.registry import create, list_methods, method_class

SIZES = {"2d": (32, 32), "3d": (16, 16, 16)}
# For methods with such fields: the contract does not need more.
SMALL = {"channels": (8, 16, 16), "latent_dim": 8, "reconstructive": (8, 16), "discriminative": (8, 16, 16)}
TRAINED = [name for name in list_methods() if method_class(name).trained]
STEPS = {"synthetic_unet": 100}  # finding is learnt later than copying
FOLLOWED = {"collapse_robust_vae": "error"}  # its loss is divided by its own moving mean: about 1 from first to last
# A code for an eighth of 16 voxels is larger than the lesion; two layers of a transformer are enough for 64 codes.
# In blocks of two voxels the lesion of a volume is two blocks wide.
OWN_SMALL = {
    "vqvae_transformer": {"channels": (8, 16), "width": 32, "depth": 2, "samples": 2},
    "synthetic_unet": {"fold": 1},
}
# What predicts a change begins as a copy and learns more slowly to find: test_disyre.
LEARNING = {"disyre": {"predicts": "image"}}
both_dims = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
every_method = pytest.mark.parametrize("name", list_methods())
every_trained_method = pytest.mark.parametrize("name", TRAINED)


def make(name: str, size: tuple[int, ...], *, in_channels: int = 1, seed: int = 0, learning: bool = False) -> Method:
    """A method with its quick preset's settings, made small."""
    torch.manual_seed(seed)
    fields = {each.name for each in dataclasses.fields(method_class(name).Config)}
    small = {key: value for key, value in SMALL.items() if key in fields}
    small |= OWN_SMALL.get(name, {})
    small |= LEARNING.get(name, {}) if learning else {}
    settings = {**method_class(name).presets["quick"].config, **small, "size": size, "in_channels": in_channels}
    return create(name, **settings)


def discs(n: int, size: tuple[int, ...], *, channels: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Round brains of varying radius and brightness, with a darker core and some noise."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in size), indexing="ij")
    radius = torch.stack(axes).norm(dim=0)
    per_image = (n, channels, *(1 for _ in size))
    outer = 0.7 + 0.2 * torch.rand((n, 1, *per_image[2:]), generator=generator)
    bright = 0.5 + 0.2 * torch.rand(per_image, generator=generator)
    brain = radius < outer
    image = bright * torch.where(radius < outer / 2, 0.6, 1.0)
    image = image + 0.02 * torch.randn((n, channels, *size), generator=generator)
    return {"image": image * brain, "brain": brain}


def with_lesion(image: torch.Tensor) -> torch.Tensor:
    """The same images with a bright blob at the centre."""
    lesioned = image.clone()
    centre = tuple(slice(side // 2 - 2, side // 2 + 2) for side in image.shape[2:])
    lesioned[(..., *centre)] = 1.5
    return lesioned


def train(method: Method, batch: dict[str, torch.Tensor], *, steps: int) -> list[float]:
    """Every stage, every group, the plain way; returns the losses of the last stage's last group."""
    generator = torch.Generator().manual_seed(0)
    method.train()
    for stage in method.stages:
        groups = method.parameter_groups(stage)
        optimisers = {group: torch.optim.Adam(parameters, 3e-3) for group, parameters in groups.items()}
        losses = []
        for _ in range(steps):
            for group, optimiser in optimisers.items():
                optimiser.zero_grad()
                found = method.loss(batch, stage=stage, group=group, generator=generator)
                found["loss"].backward()
                optimiser.step()
            losses.append(found[FOLLOWED.get(method.name, "loss")].item())
    method.eval()
    return losses


@pytest.fixture(scope="module")
def trained() -> dict[tuple[str, int], Method]:
    """Each trained method after a short training on discs, by name and dimensions; filled when first asked for."""
    return {}


def trained_method(cache: dict[tuple[str, int], Method], name: str, size: tuple[int, ...]) -> Method:
    """From the module's cache."""
    key = (name, len(size))
    if key not in cache:
        cache[key] = make(name, size, learning=True)
        train(cache[key], discs(16, size), steps=STEPS.get(name, 60))
    return cache[key]


@every_method
@both_dims
def test_map_and_reconstruction_and_score_have_their_shapes_and_are_0_outside_the_brain(name, size):
    method = make(name, size, in_channels=2).eval()
    batch = discs(3, size, channels=2)
    with torch.no_grad():
        anomaly, reconstruction = method.anomaly_map(batch["image"]), method.reconstruct(batch["image"])
        score = method.anomaly_score(batch["image"])
    assert anomaly.shape == (3, 1, *size)
    assert anomaly.dtype == torch.float32
    assert reconstruction.shape == (3, 2, *size)
    assert score.shape == (3,)
    assert anomaly[batch["brain"]].abs().max() > 0
    assert anomaly[~batch["brain"]].abs().max() == 0
    assert reconstruction[~batch["brain"].expand_as(reconstruction)].abs().max() == 0


@every_method
@both_dims
def test_nothing_is_random_in_eval(name, size):
    method = make(name, size).eval()
    image = discs(2, size)["image"]
    with torch.no_grad():
        torch.manual_seed(1)
        first = method.anomaly_map(image), method.reconstruct(image), method.anomaly_score(image)
        torch.manual_seed(2)
        second = method.anomaly_map(image), method.reconstruct(image), method.anomaly_score(image)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@every_method
@both_dims
def test_an_image_has_the_same_map_alone_and_in_a_batch(name, size):
    method = make(name, size).eval()
    image = discs(4, size)["image"]
    with torch.no_grad():
        together = method.anomaly_map(image)
        alone = torch.cat([method.anomaly_map(each[None]) for each in image])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


@every_method
@both_dims
def test_saved_weights_give_the_same_map(name, size):
    method, other = make(name, size, seed=0), make(name, size, seed=1)
    if method.trained:
        train(method, discs(4, size), steps=2)
    other.load_state_dict(method.state_dict())
    image = discs(2, size, seed=3)["image"]
    with torch.no_grad():
        assert torch.equal(method.eval().anomaly_map(image), other.eval().anomaly_map(image))


@every_method
@both_dims
def test_the_global_seed_gives_the_weights(name, size):
    one, same = make(name, size, seed=5).state_dict(), make(name, size, seed=5).state_dict()
    for key, value in one.items():
        assert torch.equal(value, same[key])


@every_method
@both_dims
def test_an_empty_image_has_an_empty_finite_map(name, size):
    method = make(name, size).eval()
    with torch.no_grad():
        assert method.anomaly_map(torch.zeros(1, 1, *size)).abs().max() == 0
        assert method.anomaly_score(torch.zeros(1, 1, *size)) == 0


@every_method
def test_config_is_frozen_and_survives_the_round_trip_through_plain_values(name):
    config = make(name, (32, 32)).config
    plain = config.to_dict()
    assert type(config).from_dict(plain) == config
    assert plain["size"] == [32, 32]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.in_channels = 3


@every_method
def test_every_preset_makes_a_method(name):
    cls = method_class(name)
    assert "quick" in cls.presets
    for preset in cls.presets.values():
        assert create(name, **{**preset.config, "size": (64, 64)}).name == name


@every_trained_method
@both_dims
def test_sizes_the_network_cannot_take_are_refused_with_the_nearest(name, size):
    odd = (size[0] + 1, *size[1:])
    with pytest.raises(InputError, match="nearest valid") as caught:
        make(name, odd)
    assert str(size) in str(caught.value)


@every_trained_method
@both_dims
def test_one_batch_can_be_learned_by_heart(name, size):
    method, batch = make(name, size, learning=True), discs(4, size)

    def error() -> float:
        with torch.no_grad():
            return (method.eval().reconstruct(batch["image"]) - batch["image"]).abs().mean().item()

    before, losses = error(), train(method, batch, steps=100)
    assert losses[-1] < losses[0]
    assert error() < before / 4


@every_trained_method
@both_dims
def test_gradient_reaches_every_parameter_of_some_stage(name, size):
    method, batch = make(name, size, in_channels=2), discs(3, size, channels=2)
    reached = set()
    for stage in method.stages:
        for group, parameters in method.parameter_groups(stage).items():
            method.zero_grad()
            method.loss(batch, stage=stage, group=group, generator=torch.Generator().manual_seed(0))["loss"].backward()
            reached |= {id(p) for p in parameters if p.grad is not None and p.grad.abs().sum() > 0}
    missed = [key for key, parameter in method.named_parameters() if id(parameter) not in reached]
    assert missed == []


@every_trained_method
@both_dims
def test_everything_random_comes_from_the_generator(name, size):
    batch = discs(3, size)
    seen = []
    for global_seed in (1, 2):
        method = make(name, size)
        torch.manual_seed(global_seed)
        for stage in method.stages:
            for group in method.parameter_groups(stage):
                generator = torch.Generator().manual_seed(7)
                seen.append(method.loss(batch, stage=stage, group=group, generator=generator)["loss"].item())
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


@every_trained_method
@both_dims
def test_half_precision_stays_finite(name, size):
    method, batch = make(name, size), discs(3, size)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method.loss(
            batch, stage=method.stages[-1], group=next(iter(method.parameter_groups(method.stages[-1])))
        )
        anomaly = method.eval().anomaly_map(batch["image"])
    assert torch.isfinite(losses["loss"])
    assert losses["loss"].dtype == torch.float32
    assert torch.isfinite(anomaly).all()
    assert anomaly.dtype == torch.float32


@every_method
@both_dims
def test_after_training_a_lesion_scores_higher_and_shows_in_the_map(name, size, trained):
    method = trained_method(trained, name, size) if name in TRAINED else make(name, size).eval()
    healthy = discs(8, size, seed=9)
    lesioned = with_lesion(healthy["image"])
    with torch.no_grad():
        assert (method.anomaly_score(lesioned) > method.anomaly_score(healthy["image"])).all()
        anomaly = method.anomaly_map(lesioned)
    lesion = lesioned != healthy["image"]
    assert anomaly[lesion].mean() > anomaly[healthy["brain"] & ~lesion].mean() + 0.1
