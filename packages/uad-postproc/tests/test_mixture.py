import numpy as np
import pytest
from scipy import ndimage
from sklearn.mixture import GaussianMixture as Reference

from uad_postproc.mixture import fit_field, fit_plain, histogram, initial_mixture, softmax


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


@pytest.mark.parametrize(("shape", "spacing"), [((20, 24), (1.0, 1.0)), ((7, 9, 8), (4.0, 1.0, 2.0))])
def test_field_equals_a_slow_reference(shape, spacing, rng):
    brain = rng.random(shape) < 0.9
    x = (np.abs(rng.normal(size=shape)) + 2 * ndimage.gaussian_filter(rng.random(shape), 2)).astype(np.float32)
    data = histogram(x[brain])
    start = initial_mixture(data, 3)
    mixture, ours = fit_field(data, brain, start, beta=3.0, spacing=spacing, tolerance=0, max_iterations=4)

    binned = np.zeros(shape)
    binned[brain] = data.values[data.index]
    kernel = np.zeros((3,) * len(shape))
    for axis, size in enumerate(spacing):
        for end in (0, 2):
            kernel[tuple(end if a == axis else 1 for a in range(len(shape)))] = 1 / size
    around = ndimage.convolve(brain.astype(float), kernel, mode="constant")
    means, variances = start.means, start.variances

    def normalise(logits):
        parts = np.exp(logits - logits.max(axis=0))
        return parts / parts.sum(axis=0) * brain

    def density():
        return np.stack([-((binned - m) ** 2) / (2 * v) - np.log(v) / 2 for m, v in zip(means, variances, strict=True)])

    theirs = normalise(density())
    for _ in range(4):
        near = [ndimage.convolve(r, kernel, mode="constant") / np.maximum(around, 1e-9) for r in theirs]
        theirs = normalise(density() + 3.0 * np.stack(near))
        amounts = theirs.sum(axis=tuple(range(1, theirs.ndim)))
        means = np.array([(r * binned).sum() for r in theirs]) / amounts
        variances = np.array([(r * (binned - m) ** 2).sum() for r, m in zip(theirs, means, strict=True)]) / amounts
    np.testing.assert_allclose(ours, theirs[:, brain], atol=2e-4)
    np.testing.assert_allclose(mixture.means, means, rtol=1e-4)
    np.testing.assert_allclose(mixture.variances, variances, rtol=1e-3)
    np.testing.assert_allclose(mixture.weights, amounts / brain.sum(), rtol=1e-4)
