"""Mixtures of Gaussians fitted to the voxels of one map: plain EM, and EM with a Markov random field prior.

Model: voxel i has the value x_i and belongs to one of K components; given component k, x_i ~ N(mean_k, variance_k).
In the plain mixture the prior of k is its weight. With neighbours it is a Potts model in the mean-field approximation:

    p_i(k)  proportional to  exp(beta * sum_j a_ij r_j(k)),

where r_j(k) is what was last believed of neighbour j. The neighbours are the voxels with a common face inside
the brain, and their weights a_ij sum to 1, in proportion to 1 / distance. EM alternates the responsibilities

    r_i(k)  proportional to  p_i(k) N(x_i; mean_k, variance_k)

with the means and variances weighted by them.

Sources
-------
Y. Zhang, M. Brady, S. Smith, "Segmentation of brain MR images through a hidden Markov random field model and the
expectation-maximization algorithm", IEEE TMI 20(1), 2001 (the field takes the place of the weights). G. Celeux,
F. Forbes, N. Peyrard, "EM procedures using mean field-like approximations for Markov model-based image segmentation",
Pattern Recognition 36, 2003 (responsibilities of the neighbours, not labels). J. Besag, "On the statistical analysis of
dirty pictures", J. R. Statist. Soc. B 48, 1986 (voxels in sets without neighbours in the same set). R. Neal, G. Hinton,
"A view of the EM algorithm that justifies incremental, sparse, and other variants", 1998 (parameters after each set).

Deviations: beta is given, not estimated, and multiplies the mean over neighbours, not their sum, so that it means the
same in 2D, in 3D and at the brain's edge.

Both start from an exact k-means on the histogram, so that nothing is random. Values are sorted into 4096 bins, of which
plain EM sees the mean value and the count: it does not depend on the number of voxels. With neighbours the voxels are
coloured like a checkerboard, where all neighbours have the other colour. An iteration updates one colour, then the
other, and after each the means and variances: that needs a third fewer iterations than all voxels at once, does not
swing between two states, and ends where that ends. It works through pieces that stay in the processor's cache; the
densities are a table over the bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

import numpy as np

_BINS = 4096
_COARSE = 256  # bins of the k-means
_BLOCK = 1 << 15
STRONGEST = 50.0  # most weight of the neighbours, in nats
# Nats: densities that far below the highest count as so far below; float32 numbers hold so many.
_FAR, _RANGE = 60.0, 80.0
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
        Weight of the neighbours, in nats from none to all of them: 0 to `STRONGEST`.
    spacing : sequence of float
        Voxel size along each axis; only ratios matter.
    tolerance : float
        Change of a mean in one iteration, in standard deviations of all values.
    max_iterations : int
        At most so many.

    Returns
    -------
    mixture : Mixture
        The fit.
    probabilities : numpy.ndarray, (K, m), float32
        Responsibilities of the voxels that take part; sum to 1 over the components.
    """
    # One voxel around keeps rows apart. Odd rows and planes: every step to a neighbour changes the parity of the place.
    margins = [(1, 1 + inside.shape[0] % 2), *((1, 2 - size % 2) for size in inside.shape[1:])]
    padded = np.pad(inside, margins)
    white, black = _checkerboard(data, padded, len(start.means), beta, spacing)
    moments = [np.zeros((3, len(start.means))), black.update(_odds(start, data, beta), None)]
    mixture = start
    for iteration in range(1, max_iterations + 1):
        before = mixture.means
        for turn, (colour, other) in enumerate([(white, black), (black, white)]):
            moments[turn] = colour.update(_odds(mixture, data, beta), other.lead)
            mixture = _from_moments(moments[0] + moments[1], data, iteration)
        if np.abs(mixture.means - before).max() <= tolerance * data.spread:
            break
    probabilities = np.empty((len(start.means), len(data.index)), dtype=np.float32)
    voxels = np.flatnonzero(padded)
    for row, *leads in zip(probabilities[1:], white.lead, black.lead, strict=True):
        row[:] = np.stack(leads, axis=1).ravel()[voxels]
    probabilities[0] = (1 - probabilities[1:].sum(axis=0)) / len(probabilities)
    probabilities[1:] += probabilities[0]
    return mixture, np.maximum(probabilities, 0, out=probabilities)


@dataclass(eq=False)
class _Colour:
    """One colour of the checkerboard: the even or the odd places of the flat padded volume, n of them.

    Parameters
    ----------
    bins : numpy.ndarray, (n,), intp
        Bin of each value.
    powers : numpy.ndarray, (3, n), float32
        1, z and z**2 of each value z, in standard deviations from the mean; 0 outside.
    near : list of (int, int, float)
        By axis: how far before and behind, in the other colour, a voxel's neighbours lie, and their weight. The first
        are the nearest, of weight 1.
    blocks : list of slice
        Pieces that stay in the processor's cache; they hold all voxels that take part.
    strength : numpy.ndarray, (n,), float32
        Nats for each unit of weight of the neighbours.
    lead : numpy.ndarray, (K - 1, n), float32
        Responsibility of each component but the first, less that of the first; 0 outside.
    """

    bins: np.ndarray
    powers: np.ndarray
    near: list[tuple[int, int, float]]
    blocks: list[slice]
    strength: np.ndarray
    lead: np.ndarray

    def update(self, odds: np.ndarray, others: np.ndarray | None) -> np.ndarray:
        """Update `lead` from that of the other colour, if given; return the responsibilities' moments (3, K)."""
        moments = np.zeros((3, len(odds) + 1))
        for block in self.blocks:
            bins, powers = self.bins[block], self.powers[:, block]
            parts = np.empty((len(odds), len(bins)), dtype=np.float32)
            for line, part in zip(odds, parts, strict=True):
                line.take(bins, mode="clip", out=part)
            if others is not None:
                pull = self.around(others, block)
                pull *= self.strength[block]
                parts *= np.exp(pull, out=pull)
            first = parts.sum(axis=0, initial=1)
            np.divide(powers[0], first, out=first)
            parts *= first
            for k, part in enumerate((first, *parts)):
                moments[:, k] += powers @ part
            np.subtract(parts, first, out=self.lead[:, block])
        return moments

    def around(self, rows: np.ndarray, block: slice) -> np.ndarray:
        """Weighted sum of rows (k, n) of the other colour over the neighbours of the voxels in a block."""
        pairs = [[rows[:, block.start + step : block.stop + step] for step in near[:2]] for near in self.near]
        total = np.add(*pairs[0])
        for pair, (*_, weight) in zip(pairs[1:], self.near[1:], strict=True):
            for row in pair:
                total += row if weight == 1 else row * np.float32(weight)
        return total


def _checkerboard(
    data: Histogram, padded: np.ndarray, components: int, beta: float, spacing: Sequence[float]
) -> tuple[_Colour, _Colour]:
    """Part the padded volume by the parity of the place in it; `lead` is left 0."""
    inside = padded.ravel()
    index = np.zeros(inside.size, dtype=np.uint16)
    index[inside] = data.index
    standard = ((data.values - data.mean) / data.spread).astype(np.float32)
    colours = []
    for parity in (0, 1):
        solid, bins = inside[parity::2], index[parity::2].astype(np.intp)
        steps = [((2 * parity - 1 - stride) // 2, (2 * parity - 1 + stride) // 2) for stride in padded.strides]
        near = [(*step, float(min(spacing) / size)) for step, size in zip(steps, spacing, strict=True)]
        near.sort(key=itemgetter(2), reverse=True)
        voxels = np.flatnonzero(solid)
        ends = np.searchsorted(voxels, range(0, len(solid) + _BLOCK, _BLOCK))
        blocks = [slice(voxels[i], voxels[j - 1] + 1) for i, j in pairwise(ends) if i < j]
        powers = np.zeros((3, len(solid)), dtype=np.float32)
        for block in blocks:
            powers[0, block] = solid[block]
            np.multiply(standard.take(bins[block], mode="clip"), solid[block], out=powers[1, block])
            np.square(powers[1, block], out=powers[2, block])
        lead = np.zeros((components - 1, len(solid)), dtype=np.float32)
        colours.append(_Colour(bins, powers, near, blocks, np.zeros_like(powers[0]), lead))
    white, black = colours
    for colour, other in ((white, black), (black, white)):
        for block in colour.blocks:
            most = np.maximum(colour.around(other.powers[:1], block)[0], np.float32(1e-6))
            np.divide(colour.powers[0, block] * np.float32(beta), most, out=colour.strength[block])
    return white, black


def _odds(mixture: Mixture, data: Histogram, beta: float) -> np.ndarray:
    """Density (K - 1, bins) of each component but the first over that of the first; times the field a float32 still."""
    logs = mixture.log_density(data.values)
    logs = np.maximum(logs - logs.max(axis=0), -min(_FAR, _RANGE - beta))
    return np.exp(logs[1:] - logs[0]).astype(np.float32)


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
