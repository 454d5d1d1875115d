from itertools import product

import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import GaussianMixture


def dice(mask, lesion):
    return 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum())


def residual(shape, rng, *, noise=0.1, contrast=0.25):
    """Absolute residual of a noisy image: an ellipse of brain, in it a smaller one of lesion."""
    grid = np.meshgrid(*(np.linspace(-1.05, 1.05, size) for size in shape), indexing="ij")
    brain = sum(axis**2 for axis in grid) < 1
    lesion = sum((axis - 0.25) ** 2 for axis in grid) < 0.09
    x = np.abs(contrast * lesion + noise * rng.standard_normal(shape)).astype(np.float32)
    return (x * brain)[None], Context(brain[None]), lesion[None]


@pytest.mark.parametrize("shape", [(96, 96), (40, 44, 36)])
def test_neighbours_beat_plain_em_on_noise(shape, rng):
    x, context, lesion = residual(shape, rng)
    plain = GaussianMixture(neighbour_weight=0).apply(x, context) > 0.5
    field = GaussianMixture().apply(x, context) > 0.5
    assert dice(field, lesion) > dice(plain, lesion) + 0.15
    assert dice(field, lesion) > 0.75


def test_background_healthy_tissue_and_lesion(rng):
    brain = np.ones((1, 60, 60), bool)
    x = rng.normal(0.05, 0.01, brain.shape)
    x[0, :, 20:] = rng.normal(0.3, 0.02, (60, 40))
    lesion = np.zeros(brain.shape, bool)
    lesion[0, 5:15, 30:40] = True
    x[lesion] = rng.normal(0.8, 0.03, lesion.sum())
    for weight, which in product((0, 8), ("smallest", "brightest")):
        probability = GaussianMixture(neighbour_weight=weight, lesion=which).apply(x.astype(np.float32), Context(brain))
        np.testing.assert_array_equal(probability > 0.5, lesion)


def test_smallest_or_brightest(rng):
    x = rng.normal(0.5, 0.02, (1, 40, 40)).astype(np.float32)
    x[0, :5, :5] = 0.1  # few and dark
    x[0, 20:, :] += 0.5  # many and bright
    context = Context(np.ones(x.shape, bool))
    smallest = GaussianMixture(neighbour_weight=2, lesion="smallest").apply(x, context) > 0.5
    brightest = GaussianMixture(neighbour_weight=2).apply(x, context) > 0.5
    np.testing.assert_array_equal(smallest[0], x[0] < 0.2)
    np.testing.assert_array_equal(brightest[0], x[0] > 0.8)


def test_a_component_that_wins_nowhere_is_not_counted():
    means, probabilities = np.array([0.1, 0.3, 0.9]), np.array([[0.9, 0.1], [0.05, 0.8], [0.05, 0.1]], np.float32)
    for which in ("smallest", "brightest"):
        step = GaussianMixture(lesion=which)
        np.testing.assert_array_equal(step._lesion(np.array([5, 3, 0]), means, probabilities), probabilities[1])
        assert not step._lesion(np.array([8, 0, 0]), means, probabilities).any()


def test_voxels_outside_the_brain_change_nothing(rng):
    x, context, _ = residual((50, 52), rng)
    wild = np.where(context.brain, x, 100 * rng.random(x.shape)).astype(np.float32)
    step = GaussianMixture()
    np.testing.assert_array_equal(step.apply(wild, context), step.apply(x, context))
    padded = Context(np.pad(context.brain, ((0, 0), (3, 9), (6, 2))))
    out = step.apply(np.pad(x, ((0, 0), (3, 9), (6, 2))), padded)
    np.testing.assert_allclose(out[:, 3:-9, 6:-2], step.apply(x, context), atol=1e-4)


def test_thick_slices_pull_less(rng):
    x, context, _ = residual((20, 24, 22), rng)
    step = GaussianMixture(max_iterations=3)
    cubes = step.apply(x, context)
    np.testing.assert_array_equal(step.apply(x, Context(context.brain, (2.0, 2.0, 2.0))), cubes)
    assert not np.allclose(step.apply(x, Context(context.brain, (6.0, 1.0, 1.0))), cubes, atol=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": 1}, "components: expected 2, 3, 4 or 5, found 1"),
        ({"neighbour_weight": -1}, "neighbour_weight: expected a finite number, 0 or more"),
        ({"neighbour_weight": 51}, "neighbour_weight: expected 50 or less.*found 51"),
        ({"lesion": "largest"}, "lesion.*'largest'"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(InputError, match=message):
        GaussianMixture(**settings)
