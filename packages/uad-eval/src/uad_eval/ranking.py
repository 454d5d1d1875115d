"""Rank the voxels of a continuous map: counts at every lesion score, and what follows from them.

Average precision, AUROC, ⌈Dice⌉ and the two curves all come from one :class:`Ranking`. Thresholds handed out are to be
used **strictly above**: each lies just under the score of a lesion voxel. :func:`ranked_average_precision` and its
neighbours take counts with any leading axes, so that a thousand bootstrap draws go through the same formulas as the
exact figures.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError

CURVE_POINTS = 500


class Curve(NamedTuple):
    """A curve for plotting, ordered by falling threshold.

    Attributes
    ----------
    x, y : ndarray, shape (k,)
        Recall and precision, or false and true positive rate, in 0..1.
    threshold : ndarray, shape (k,)
        Scores strictly above it are called anomalous; ``inf`` calls none.
    """

    x: NDArray
    y: NDArray
    threshold: NDArray


@dataclass(frozen=True)
class Ranking:
    """Counts at every distinct score of a lesion voxel, which is all that the ranking metrics depend on.

    Between two lesion scores only healthy voxels are added, so neither average precision nor the best Dice can
    change there for the better; ties are entered together, so the figures are exact.

    Attributes
    ----------
    scores : ndarray, shape (k,)
        Distinct scores of the lesion voxels, falling.
    hits : ndarray of int64, shape (k,)
        Lesion voxels at or above each score.
    false_above, false_alarms : ndarray of int64, shape (k,)
        Healthy voxels above, and at or above, each score.
    lesion, healthy : int
        Voxels of either kind.
    """

    scores: NDArray
    hits: NDArray
    false_above: NDArray
    false_alarms: NDArray
    lesion: int
    healthy: int

    @classmethod
    def of(cls, scores: ArrayLike, truth: ArrayLike) -> "Ranking":
        """Rank scores (any shape) against the truth (same shape, non-zero is lesion)."""
        return cls.of_sorted(*sorted_scores(scores, truth))

    @classmethod
    def of_sorted(cls, lesion: NDArray, healthy: NDArray) -> "Ranking":
        """Rank from the rising scores of the lesion voxels and of the healthy voxels."""
        first = np.flatnonzero(np.r_[True, lesion[1:] != lesion[:-1]])[::-1] if lesion.size else np.zeros(0, np.int64)
        scores = lesion[first]
        return cls(
            scores=scores,
            hits=lesion.size - first,
            false_above=healthy.size - np.searchsorted(healthy, scores, side="right"),
            false_alarms=healthy.size - np.searchsorted(healthy, scores, side="left"),
            lesion=lesion.size,
            healthy=healthy.size,
        )

    def average_precision(self) -> float:
        """Average precision, NaN without a lesion."""
        return float(ranked_average_precision(self.hits, self.false_alarms))

    def normalised_average_precision(self) -> float:
        """(AP − prevalence) / (1 − prevalence): 0 is chance, 1 is perfect; NaN without a lesion or a healthy voxel."""
        return float(above_chance(self.average_precision(), np.asarray(self.lesion), np.asarray(self.healthy)))

    def average_precision_at(self, prevalence: float) -> float:
        """Average precision as it would be at a stated share of lesion voxels, 0 < prevalence < 1.

        False alarms are weighted so that lesion and healthy voxels stand in the stated ratio. NaN without a lesion or
        a healthy voxel.
        """
        if not 0 < prevalence < 1:
            raise InputError(f"prevalence: expected above 0 and below 1, found {prevalence}")
        if not self.lesion or not self.healthy:
            return float("nan")
        weight = self.lesion * (1 - prevalence) / (self.healthy * prevalence)
        return float(ranked_average_precision(self.hits, weight * self.false_alarms))

    def auroc(self) -> float:
        """Area under the ROC curve, NaN without a lesion or without a healthy voxel."""
        return float(ranked_auroc(self.hits, self.false_above, self.false_alarms, np.array(float(self.healthy))))

    def best_dice(self) -> tuple[float, float]:
        """⌈Dice⌉ and its threshold (the highest one, of equals); both NaN without a lesion."""
        if not self.lesion:
            return float("nan"), float("nan")
        best = int(np.argmax(2 * self.hits / (self.lesion + self.hits + self.false_alarms)))
        value = 2 * self.hits[best] / (self.lesion + self.hits[best] + self.false_alarms[best])
        return float(value), float(self._just_below()[best])

    def precision_recall_curve(self, *, points: int = CURVE_POINTS) -> Curve:
        """Recall and precision at no more than ``points`` thresholds; see :func:`precision_recall_curve`."""
        if not self.lesion:
            return _EMPTY_CURVE
        recall = np.r_[0.0, self.hits / self.lesion]
        precision = np.r_[1.0, self.hits / (self.hits + self.false_alarms)]
        return _thin(Curve(recall, precision, np.r_[np.inf, self._just_below().astype(np.float64)]), points)

    def roc_curve(self, *, points: int = CURVE_POINTS) -> Curve:
        """Rates of false and of true positives at no more than ``points`` thresholds; see :func:`roc_curve`."""
        if not self.lesion or not self.healthy:
            return _EMPTY_CURVE
        before = np.r_[0, self.hits[:-1]]
        x = np.stack([self.false_above, self.false_alarms], axis=1).ravel() / self.healthy
        y = np.stack([before, self.hits], axis=1).ravel() / self.lesion
        threshold = np.stack([self.scores, self._just_below()], axis=1).ravel().astype(np.float64)
        return _thin(Curve(np.r_[0.0, x, 1.0], np.r_[0.0, y, 1.0], np.r_[np.inf, threshold, -np.inf]), points)

    def _just_below(self) -> NDArray:
        """Thresholds that every score at hand exceeds exactly when it reaches the lesion score."""
        return np.nextafter(self.scores, self.scores.dtype.type(-np.inf))


_EMPTY_CURVE = Curve(np.zeros(0), np.zeros(0), np.zeros(0))


def sorted_scores(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray, NDArray]:
    """Rising scores of the lesion voxels and of the healthy voxels.

    Parameters
    ----------
    scores : array_like, any shape
        Anomaly scores, higher is more anomalous. float32 and float64 are kept; others become float32 (float16) or
        float64.
    truth : array_like, same shape
        Non-zero is lesion.

    Returns
    -------
    lesion, healthy : ndarray, 1D
        Their sizes add up to that of ``scores``.

    Raises
    ------
    InputError
        Shapes differ, or a score is NaN or infinite.

    Notes
    -----
    Takes one sorted copy of the scores (4 bytes a float32 voxel) and two one-byte masks.
    """
    scores, truth = np.asarray(scores), np.asarray(truth)
    if scores.shape != truth.shape:
        raise InputError(f"scores and truth must have one shape, found {scores.shape} and {truth.shape}")
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32 if scores.dtype == np.float16 else np.float64)
    finite = np.isfinite(scores)
    if not finite.all():
        raise InputError(
            f"scores must be finite, found {scores.size - np.count_nonzero(finite)} NaN or infinite of {scores.size}; "
            "mend the anomaly map before it is scored"
        )
    lesion_at = truth != 0
    return np.sort(scores[lesion_at]), np.sort(scores[~lesion_at])


def ranked_average_precision(hits: NDArray, false_alarms: NDArray) -> NDArray:
    """Average precision from counts at falling thresholds, the last of which takes in every lesion voxel.

    Parameters
    ----------
    hits, false_alarms : ndarray, shape (..., k)
        Lesion and healthy voxels at or above each of k falling scores.

    Returns
    -------
    ndarray, shape (...)
        Sum over thresholds of precision times the step in recall; NaN where there is no lesion voxel.

    References
    ----------
    The step-wise sum of ``sklearn.metrics.average_precision_score``, without interpolation.
    """
    if not hits.shape[-1]:
        return np.full(hits.shape[:-1], np.nan)
    steps = np.diff(hits, axis=-1, prepend=0)
    precision = hits / np.maximum(hits + false_alarms, 1)
    return ratio((steps * precision).sum(axis=-1), hits[..., -1])


def above_chance(average_precision: NDArray | float, lesion: NDArray, healthy: NDArray) -> NDArray:
    """Average precision less that of chance, over what chance leaves; arrays of one shape, NaN where undefined."""
    prevalence = ratio(lesion, np.asarray(lesion) + healthy)
    return ratio(average_precision - prevalence, 1 - prevalence)


def ranked_auroc(hits: NDArray, false_above: NDArray, false_alarms: NDArray, healthy: NDArray) -> NDArray:
    """Area under the ROC curve as the share of (lesion, healthy) pairs in the right order, ties counted half.

    Parameters
    ----------
    hits, false_above, false_alarms : ndarray, shape (..., k)
        Lesion voxels at or above, healthy voxels above, healthy voxels at or above each falling threshold.
    healthy : ndarray, shape (...)
        Healthy voxels in all.

    Returns
    -------
    ndarray, shape (...)
        NaN where one of the two kinds is missing.
    """
    if not hits.shape[-1]:
        return np.full(hits.shape[:-1], np.nan)
    steps = np.diff(hits, axis=-1, prepend=0)
    below = healthy[..., None] - 0.5 * (false_above + false_alarms)
    return ratio((steps * below).sum(axis=-1), hits[..., -1] * healthy)


def ranked_best_dice(hits: NDArray, false_alarms: NDArray) -> NDArray:
    """⌈Dice⌉ from counts (..., k) at falling thresholds, the last of which takes in every lesion voxel."""
    lesion = hits[..., -1]
    best = (2 * hits / np.maximum(lesion[..., None] + hits + false_alarms, 1)).max(axis=-1)
    return np.where(lesion > 0, best, np.nan)


def ratio(numerator: NDArray | float, denominator: NDArray | float) -> NDArray:
    """Quotient, NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def _thin(curve: Curve, points: int) -> Curve:
    """Keep points evenly spread over the curve's movement in x and in y, both ends among them."""
    if curve.x.size <= points:
        return curve
    moved = [np.r_[0.0, np.cumsum(np.abs(np.diff(axis)))] for axis in (curve.x, curve.y)]
    along = sum(m / max(m[-1], 1e-12) for m in moved)
    wanted = np.linspace(0.0, along[-1], points)
    keep = np.unique(np.minimum(np.searchsorted(along, wanted), curve.x.size - 1))
    keep[-1] = curve.x.size - 1
    return Curve(*(axis[keep] for axis in curve))
