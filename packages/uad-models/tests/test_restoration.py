"""Restoration: what it minimises, that it does, and the choice of its weight on healthy images."""

import itertools
import math

import numpy as np
import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.restoration import (
    SMOOTH,
    Restoration,
    RestorationConfig,
    least_changing_weight,
    total_variation,
)
from uad_models.methods.vae_kl import VAEKL

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = 0.6 + 0.1 * torch.rand((4, 1, 16, 16), generator=generator)
    x[..., :3, :] = 0
    return x


@pytest.fixture(scope="module")
def trained() -> Restoration:
    """After some steps on images of one grey value."""
    torch.manual_seed(0)
    method = Restoration(RestorationConfig(**SMALL))
    optimiser, x = torch.optim.Adam(method.parameters(), 1e-2), images()
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        optimiser.zero_grad()
        method.loss({"image": x, "brain": x != 0}, generator=generator)["loss"].backward()
        optimiser.step()
    return method.eval()


def energy(method: VAEKL, image: torch.Tensor, observed: torch.Tensor, weight: float) -> torch.Tensor:
    """Negative bound plus weighted total variation of the difference."""
    with torch.no_grad():
        return method.negative_bound(image) + weight * total_variation(image - observed)


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 2, 3, 4, 5)])
def test_total_variation_is_the_length_of_the_gradient_summed(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    for number, image in enumerate(x.double().numpy()):
        total = 0.0
        for place in np.ndindex(*image.shape):
            squared = SMOOTH**2
            for axis in range(1, image.ndim):
                after = list(place)
                after[axis] = min(place[axis] + 1, image.shape[axis] - 1)
                squared += (image[tuple(after)] - image[place]) ** 2
            total += math.sqrt(squared) - SMOOTH
        assert total_variation(x)[number].item() == pytest.approx(total, rel=1e-4)
    assert total_variation(torch.ones(shape)).abs().max() == 0


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_restored_image_is_likelier_near_the_image_than_reconstruction_and_image(trained, weight):
    x = images()
    x[..., 6:10, 6:10] = 1.5
    with torch.no_grad():
        restored = trained.restore(x, weight)
        reconstruction = trained.decode(trained.posterior(x)[0])[0] * (x != 0)
    assert (energy(trained, restored, x, weight) < energy(trained, reconstruction, x, weight)).all()
    assert (energy(trained, restored, x, weight) < energy(trained, x, x, weight)).all()
    assert restored[x == 0].abs().max() == 0


def test_more_steps_never_make_it_less_likely(trained):
    x, found = images(), []
    for steps in (1, 3, 10, 30):
        method = Restoration(RestorationConfig(**SMALL, restoration_steps=steps)).eval()
        method.load_state_dict(trained.state_dict())
        found.append(energy(method, method.reconstruct(x), x, method.config.tv_weight))
    assert all((later <= sooner + 1e-3).all() for sooner, later in itertools.pairwise(found))
    assert (found[-1] < found[0]).all()


def test_a_lesion_is_removed_and_the_rest_is_kept(trained):
    x = images()
    lesioned = x.clone()
    lesioned[..., 6:10, 6:10] = 1.5
    with torch.inference_mode():
        anomaly = trained.anomaly_map(lesioned)
    lesion = lesioned != x
    assert anomaly[lesion].mean() > 3 * anomaly[(x != 0) & ~lesion].mean()


def test_the_weight_is_the_one_that_changes_healthy_images_least(trained):
    x, weights = images(), (0.0, 10.0, 100.0)
    changes = [(trained.restore(x, weight) - x).abs().sum().item() for weight in weights]
    assert least_changing_weight(trained, x, weights) == weights[int(np.argmin(changes))]
    assert changes[0] > min(changes)


@pytest.mark.parametrize(
    "changes",
    [{"restoration_steps": 0}, {"step_size": 0.0}, {"step_size": 1.0}, {"tv_weight": -1.0}],
)
def test_steps_that_lead_nowhere_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        RestorationConfig(**SMALL, **changes)


def test_other_maps_are_refused():
    with pytest.raises(InputError, match='"residual" only'):
        RestorationConfig(**SMALL, voxel_score="kl_product")
