"""Mixtures of Gaussians fitted to the voxels of one map: plain EM, and EM with a Markov random field prior.

Model: voxel i has the value x_i and belongs to one of K components; given component k, x_i ~ N(mean_k, variance_k).
In the plain mixture the prior of k is its weight. With neighbours it is a Potts model in the mean-field approximation:

    p_i(k)  proportional to  exp(beta * sum_j a_ij r_j(k)),

where r_j(k) is what the last iteration believes of neighbour j. The neighbours are the voxels with a common face inside
the brain, and their weights a_ij sum to 1, in proportion to 1 / distance. EM alternates the responsibilities

    r_i(k)  proportional to  p_i(k) N(x_i; mean_k, variance_k)

with the means and variances weighted by them.

Sources
-------
Y. Zhang, M. Brady, S. Smith, "Segmentation of brain MR images through a hidden Markov random field model and the
expectation-maximization algorithm", IEEE TMI 20(1), 2001 (the field takes the place of the weights). G. Celeux,
F. Forbes, N. Peyrard, "EM procedures using mean field-like approximations for Markov model-based image segmentation",
Pattern Recognition 36, 2003 (responsibilities of the neighbours, not labels).

Deviations: beta is given, not estimated, and multiplies the mean over neighbours, not their sum, so that it means the
same in 2D, in 3D and at the brain's edge; all voxels are updated at once from the last iteration.

Both start from an exact k-means on the histogram, so that nothing is random. Values are sorted into 4096 bins, of which
plain EM sees the mean value and the count: it does not depend on the number of voxels. With neighbours a pass works
through the padded volume in pieces that stay in the processor's cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 4096
_COARSE = 256  # bins of the k-means
_BLOCK = 1 << 14
# Log of the least probability: below, float32 numbers lose their speed (they become subnormal).
_LEAST = np.float32(-60)
# Least variance, as a share of that of all values: keeps a component from collapsing onto one value.
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K Gaussians in one dimension.

    Parameters
    ----------
    weights, means, variances : numpy.ndarray, (K,), float64
        Of the components, by ascending initial mean; weights are mean responsibilities and sum to 1.
    iterations : int
        EM iterations that were run.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    iterations: int = 0

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Log density of each component, without its weight.

        Parameters
        ----------
        values : numpy.ndarray, (m,)
            Where.

        Returns
        -------
        numpy.ndarray, (K, m), float64
            Natural logarithms.
        """
        means, variances = self.means[:, None], self.variances[:, None]
        return -0.5 * (np.log(2 * np.pi * variances) + (values - means) ** 2 / variances)

    def log_joint(self, values: np.ndarray) -> np.ndarray:
        """Log of weight times density of each component.

        Parameters
        ----------
        values : numpy.ndarray, (m,)
            Where.

        Returns
        -------
        numpy.ndarray, (K, m), float64
            Natural logarithms; minus infinity for a component without weight.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.weights)[:, None] + self.log_density(values)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Values sorted into bins of equal width.

    Parameters
    ----------
    index : numpy.ndarray, (m,), uint16
        Bin of each value.
    counts : numpy.ndarray, (bins,), int64
        Values in each bin.
    values : numpy.ndarray, (bins,), float64
        Mean of the values in each bin; the bin's lower edge where there are none.
    """

    index: np.ndarray
    counts: np.ndarray
    values: np.ndarray

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return float(self.counts @ self.values) / int(self.counts.sum())

    @property
    def spread(self) -> float:
        """Standard deviation of all values."""
        return float(np.sqrt(self.counts @ (self.values - self.mean) ** 2 / self.counts.sum()))


def histogram(x: np.ndarray) -> Histogram:
    """Sort values into 4096 bins between the least and the largest.

    Parameters
    ----------
    x : numpy.ndarray, (m,), float32
        Finite values, at least one.

    Returns
    -------
    Histogram
        All in bin 0 when the values are equal.
    """
    low, high = float(x.min()), float(x.max())
    width = (high - low) / (_BINS - 1) or 1.0
    index = ((x - np.float32(low)) * np.float32(1 / width)).clip(0, _BINS - 1).astype(np.uint16)
    counts = np.bincount(index, minlength=_BINS)
    sums = np.bincount(index, weights=x, minlength=_BINS)
    edges = low + width * np.arange(_BINS)
    return Histogram(index, counts, np.where(counts > 0, sums / np.maximum(counts, 1), edges))


def initial_mixture(data: Histogram, components: int) -> Mixture | None:
    """Split the values by exact k-means on their histogram, which is multi-level Otsu.

    Parameters
    ----------
    data : Histogram
        Of the values; what lies above their 99.9 % quantile counts as that value here.
    components : int
        Number K of groups.

    Returns
    -------
    Mixture or None
        Share, mean and variance of each group; None when there are fewer different values than groups.
    """
    from skimage.filters import threshold_multiotsu  # imported late: slow to import, and few steps need it

    reached = np.searchsorted(np.cumsum(data.counts), 0.999 * data.counts.sum())
    occupied = np.flatnonzero(data.counts)
    coarse = np.minimum(occupied, reached) * _COARSE // (reached + 1)
    if len(np.unique(coarse)) < components:
        return None
    counts = np.bincount(coarse, weights=data.counts[occupied], minlength=_COARSE)
    cuts = threshold_multiotsu(classes=components, hist=(counts, np.arange(_COARSE)))
    group = np.searchsorted(cuts, coarse, side="left")
    parts = (group == np.arange(components)[:, None]) * data.counts[occupied]
    return _from_parts(parts, data.values[occupied], data, 0)


def fit_plain(data: Histogram, start: Mixture, *, tolerance: float, max_iterations: int) -> Mixture:
    """Fit by plain EM, until the mean log likelihood of a value changes by less than the tolerance.

    Parameters
    ----------
    data : Histogram
        Of the values.
    start : Mixture
        Where EM starts.
    tolerance : float
        In nats a value.
    max_iterations : int
        At most so many.

    Returns
    -------
    Mixture
        The fit.
    """
    occupied = np.flatnonzero(data.counts)
    values, counts = data.values[occupied], data.counts[occupied]
    mixture, before = start, -np.inf
    for iteration in range(1, max_iterations + 1):
        joint = mixture.log_joint(values)
        top = joint.max(axis=0)
        parts = np.exp(joint - top)
        total = parts.sum(axis=0)
        likelihood = float(counts @ (top + np.log(total))) / counts.sum()
        mixture = _from_parts(parts * (counts / total), values, data, iteration)
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    return mixture


def softmax(logits: np.ndarray) -> np.ndarray:
    """Normalise over the first axis.

    Parameters
    ----------
    logits : numpy.ndarray, (K, m)
        Such as what `Mixture.log_joint` returns.

    Returns
    -------
    numpy.ndarray, (K, m), float32
        Probabilities; sum to 1 over the components.
    """
    parts = np.exp(logits - logits.max(axis=0))
    return (parts / parts.sum(axis=0)).astype(np.float32)


def fit_field(
    data: Histogram,
    inside: np.ndarray,
    start: Mixture,
    *,
    beta: float,
    spacing: Sequence[float],
    tolerance: float,
    max_iterations: int,
) -> tuple[Mixture, np.ndarray]:
    """Fit with the Markov random field prior, until no mean moves by more than the tolerance.

    Parameters
    ----------
    data : Histogram
        Of the values at the set voxels of `inside`, in their order.
    inside : numpy.ndarray, (*spatial), bool
        The voxels that take part.
    start : Mixture
        Where EM starts.
    beta : float
        Weight of the neighbours, in nats from none to all of them.
    spacing : sequence of float
        Voxel size along each axis; only ratios matter.
    tolerance : float
        Change of a mean, in standard deviations of all values.
    max_iterations : int
        At most so many.

    Returns
    -------
    mixture : Mixture
        The fit.
    probabilities : numpy.ndarray, (K, m), float32
        Responsibilities of the voxels that take part; sum to 1 over the components.
    """
    padded = np.pad(inside, 1)
    voxels = np.flatnonzero(padded)
    # On the flat array a neighbour is a fixed distance away; the padding keeps rows apart.
    strides = [step // padded.itemsize for step in padded.strides]
    pull = [float(min(spacing) / size) for size in spacing]
    blocks = [slice(i, min(i + _BLOCK, padded.size - strides[0])) for i in range(strides[0], voxels[-1] + 1, _BLOCK)]
    solid = padded.ravel().astype(np.float32)
    index = np.zeros(padded.size, dtype=np.intp)
    index[voxels] = data.index
    standard = ((data.values - data.mean) / data.spread).astype(np.float32)
    strength = np.zeros_like(solid)
    for block in blocks:
        strength[block] = solid[block] * np.float32(beta) / np.maximum(_neighbours(solid, block, strides, pull), 1e-6)
    old = softmax(start.log_density(data.values))[:, index] * solid
    new = np.zeros_like(old)
    mixture = start
    for iteration in range(1, max_iterations + 1):
        table = mixture.log_density(data.values).astype(np.float32)
        moments = np.zeros((3, len(old)))
        for block in blocks:
            places = index[block]
            parts = [
                _neighbours(row, block, strides, pull) * strength[block] + line[places]
                for row, line in zip(old, table, strict=True)
            ]
            top = np.maximum.reduce(parts)
            for part in parts:
                np.maximum(np.subtract(part, top, out=part), _LEAST, out=part)
                np.exp(part, out=part)
            share = solid[block] / np.add.reduce(parts)
            x = standard[places]
            for k, part in enumerate(parts):
                new[k, block] = np.multiply(part, share, out=part)
                weighted = part * x
                moments[:, k] += part.sum(), weighted.sum(), weighted @ x
        old, new = new, old
        before = mixture.means
        mixture = _from_moments(moments, data, iteration)
        if np.abs(mixture.means - before).max() <= tolerance * data.spread:
            break
    return mixture, old[:, voxels]


def _neighbours(row: np.ndarray, block: slice, strides: list[int], pull: list[float]) -> np.ndarray:
    """Weighted sum over the face neighbours of the voxels in a block of the flat padded volume."""
    total = np.zeros(block.stop - block.start, dtype=np.float32)
    for stride, weight in zip(strides, pull, strict=True):
        pair = row[block.start - stride : block.stop - stride] + row[block.start + stride : block.stop + stride]
        total += pair if weight == 1 else pair * np.float32(weight)
    return total


def _from_parts(parts: np.ndarray, values: np.ndarray, data: Histogram, iterations: int) -> Mixture:
    """Return the mixture whose components hold the given amounts (K, m) of the values."""
    x = (values - data.mean) / data.spread
    return _from_moments(np.stack([parts.sum(axis=1), parts @ x, parts @ x**2]), data, iterations)


def _from_moments(moments: np.ndarray, data: Histogram, iterations: int) -> Mixture:
    """Return the mixture from sums (3, K) of 1, z and z**2, with z in standard deviations from the mean."""
    amounts = np.maximum(moments[0], np.finfo(np.float64).tiny)
    centres = moments[1] / amounts
    variances = np.maximum(moments[2] / amounts - centres**2, _FLOOR)
    weights = moments[0] / moments[0].sum()
    return Mixture(weights, data.mean + data.spread * centres, variances * data.spread**2, iterations)
