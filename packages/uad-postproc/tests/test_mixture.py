import numpy as np
import pytest
from scipy import ndimage
from sklearn.mixture import GaussianMixture as Reference

from uad_postproc.mixture import STRONGEST, fit_field, fit_plain, histogram, initial_mixture, softmax


@pytest.fixture
def values(rng):
    parts = [rng.normal(0.1, 0.03, 40_000), rng.normal(0.3, 0.06, 15_000), rng.normal(0.7, 0.1, 3000)]
    return np.concatenate(parts).astype(np.float32)


def reference(values, start, **settings):
    """scikit-learn's mixture from the same start."""
    model = Reference(
        len(start.means),
        weights_init=start.weights,
        means_init=start.means[:, None],
        precisions_init=1 / start.variances[:, None, None],
        reg_covar=0,
        **settings,
    )
    return model.fit(values[:, None].astype(np.float64))


def test_plain_em_agrees_with_scikit_learn(values):
    data = histogram(values)
    start = initial_mixture(data, 3)
    ours = fit_plain(data, start, tolerance=1e-3, max_iterations=100)
    theirs = reference(values, start, tol=1e-3, max_iter=100)
    assert ours.iterations == theirs.n_iter_ > 2
    np.testing.assert_allclose(ours.weights, theirs.weights_, rtol=2e-3)
    np.testing.assert_allclose(ours.means, theirs.means_.ravel(), rtol=1e-3)
    np.testing.assert_allclose(ours.variances, theirs.covariances_.ravel(), rtol=5e-3)
    probabilities = softmax(ours.log_joint(data.values))[:, data.index]
    np.testing.assert_allclose(probabilities.T, theirs.predict_proba(values[:, None]), atol=0.01)


def test_start_is_exact_k_means(values):
    start = initial_mixture(histogram(values), 3)
    # A group of k-means ends half-way between two means.
    edges = (start.means[1:] + start.means[:-1]) / 2
    group = np.digitize(values, edges)
    np.testing.assert_allclose(start.means, [values[group == k].mean() for k in range(3)], rtol=0.01)
    np.testing.assert_allclose(start.weights, np.bincount(group) / values.size, rtol=0.03)


def test_too_few_values_for_the_components():
    assert initial_mixture(histogram(np.zeros(10, np.float32)), 2) is None
    assert initial_mixture(histogram(np.repeat([0, 1], 10).astype(np.float32)), 3) is None
    two = initial_mixture(histogram(np.repeat([0, 1], [10, 30]).astype(np.float32)), 2)
    np.testing.assert_allclose([two.weights, two.means], [[0.25, 0.75], [0, 1]], atol=1e-9)


def test_histogram_keeps_the_values(rng):
    x = rng.gamma(2, size=5000).astype(np.float32)
    data = histogram(x)
    assert data.counts.sum() == x.size
    width = (x.max() - x.min()) / (len(data.counts) - 1)
    assert np.abs(data.values[data.index] - x).max() <= 1.01 * width
    assert data.mean == pytest.approx(x.mean(), rel=1e-5)


def slow_field(binned, brain, start, *, beta, spacing, iterations, turns):
    """EM with the field: turn by turn a given share of the way for each voxel, then the parameters."""
    kernel = np.zeros((3,) * brain.ndim)
    for axis, size in enumerate(spacing):
        for end in (0, 2):
            kernel[tuple(end if a == axis else 1 for a in range(brain.ndim))] = 1 / size
    around = np.maximum(ndimage.convolve(brain.astype(float), kernel, mode="constant"), 1e-9)
    means, variances = start.means, start.variances

    def normalise(field):
        density = [-((binned - m) ** 2) / (2 * v) - np.log(v) / 2 for m, v in zip(means, variances, strict=True)]
        parts = np.exp(field + density - np.max(field + density, axis=0))
        return parts / parts.sum(axis=0) * brain

    share = normalise(np.zeros((len(means), *brain.shape)))
    for _ in range(iterations):
        for turn in turns:
            near = np.stack([ndimage.convolve(r, kernel, mode="constant") / around for r in share])
            share = share + turn * (normalise(beta * near) - share)
            amounts = share.sum(axis=tuple(range(1, share.ndim)))
            means = np.array([(r * binned).sum() for r in share]) / amounts
            variances = np.array([(r * (binned - m) ** 2).sum() for r, m in zip(share, means, strict=True)]) / amounts
    return amounts / brain.sum(), means, variances, share[:, brain]


def noisy(shape, rng):
    """A ragged brain, and in it values with soft regions."""
    brain = rng.random(shape) < 0.9
    x = np.abs(rng.normal(size=shape)) + 2 * ndimage.gaussian_filter(rng.random(shape), 2)
    return brain, x.astype(np.float32)


def in_bins(data, brain):
    binned = np.zeros(brain.shape)
    binned[brain] = data.values[data.index]
    return binned


SHAPES = [((20, 24), (1.0, 1.0)), ((21, 17), (1.0, 3.0)), ((7, 9, 8), (4.0, 1.0, 2.0)), ((8, 12, 9), (1.0, 1.0, 1.0))]


@pytest.mark.parametrize("components", [2, 3, 4])
@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_field_equals_a_slow_reference(shape, spacing, components, rng):
    brain, x = noisy(shape, rng)
    data = histogram(x[brain])
    start = initial_mixture(data, components)
    mixture, ours = fit_field(data, brain, start, beta=3.0, spacing=spacing, tolerance=0, max_iterations=4)
    colour = np.indices(shape).sum(axis=0) % 2
    first = len(shape) % 2  # of the brain's corner, one step along each axis from that of the padded volume
    turns = [colour == first, colour != first]
    weights, means, variances, theirs = slow_field(
        in_bins(data, brain), brain, start, beta=3.0, spacing=spacing, iterations=4, turns=turns
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    np.testing.assert_allclose(mixture.means, means, rtol=1e-4)
    np.testing.assert_allclose(mixture.variances, variances, rtol=1e-3)
    np.testing.assert_allclose(mixture.weights, weights, rtol=1e-4)


@pytest.mark.parametrize(("shape", "spacing"), [((40, 36), (1.0, 2.0)), ((14, 19, 16), (3.0, 1.0, 1.0))])
def test_field_ends_where_all_voxels_at_once_end(shape, spacing, rng):
    """The checkerboard is a shorter way to the solution of the same equations."""
    brain = rng.random(shape) < 0.9
    soft = ndimage.gaussian_filter(rng.random(shape), 3)
    layers = np.where(np.indices(shape)[0] > 0.75 * shape[0], 2, soft > np.median(soft))
    x = (0.3 * layers + 0.12 * rng.standard_normal(shape)).astype(np.float32)
    data = histogram(x[brain])
    start = initial_mixture(data, 3)
    settings = {"beta": 4.0, "spacing": spacing}
    mixture, ours = fit_field(data, brain, start, tolerance=1e-6, max_iterations=200, **settings)
    assert mixture.iterations < 200
    turns = [np.full(shape, 0.5)]  # the whole way at once can swing between two states for ever
    weights, means, variances, theirs = slow_field(
        in_bins(data, brain), brain, start, iterations=200, turns=turns, **settings
    )
    assert (theirs.max(axis=0) < 0.99).mean() > 0.05
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    np.testing.assert_allclose(mixture.means, means, atol=1e-5)
    np.testing.assert_allclose(mixture.variances, variances, rtol=1e-3)
    np.testing.assert_allclose(mixture.weights, weights, rtol=1e-3)


@pytest.mark.parametrize("beta", [8.0, STRONGEST])
def test_field_is_finite_for_far_components(beta, rng):
    brain = np.ones((30, 30), bool)
    means = np.repeat([0.0, 1.0, 5.0], 10)[:, None]
    x = (means + 0.001 * rng.standard_normal(brain.shape)).astype(np.float32)
    data = histogram(x.ravel())
    start = initial_mixture(data, 3)
    mixture, ours = fit_field(data, brain, start, beta=beta, spacing=(1, 1), tolerance=1e-3, max_iterations=10)
    np.testing.assert_allclose(mixture.means, [0, 1, 5], atol=2e-3)
    np.testing.assert_array_equal(ours.argmax(axis=0), np.repeat([0, 1, 2], 300))
    np.testing.assert_allclose(ours.sum(axis=0), 1, atol=1e-6)
    assert ours.min() >= 0
