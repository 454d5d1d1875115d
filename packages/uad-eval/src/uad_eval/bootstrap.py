"""Intervals by resampling subjects: the subject is what is drawn from the population, not the voxel.

A draw gives each subject a whole number of copies. Ranking metrics of a thousand draws would need a thousand sorts of
all voxels; instead each subject's voxels are counted once at shared thresholds, spread evenly over the lesion voxels'
scores, and a draw is a weighted sum of those counts. What the finite number of thresholds leaves out is put back by
shifting all draws so that the undrawn figure is the exact one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uad_eval.metrics import MASK_METRICS, Counts
from uad_eval.ranking import Ranking, ranked_auroc, ranked_average_precision, ranked_best_dice, ratio

DRAWS = 1000
BINS = 4096
_CHUNK = 64  # draws at a time: their counts at 4096 thresholds stay in the processor's cache

SortedScores = tuple[NDArray, NDArray]


def subject_weights(subjects: int, *, draws: int = DRAWS, seed: int = 0) -> NDArray:
    """Draw subjects with replacement.

    The same number of subjects, draws and seed give the same draws, so that two methods scored on the same subjects
    (in the same order) can be compared draw by draw.

    Parameters
    ----------
    subjects : int
        How many there are.
    draws : int
    seed : int

    Returns
    -------
    ndarray of float64, shape (draws, subjects)
        Copies of each subject in each draw; each row sums to ``subjects``.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=draws).astype(np.float64)


def interval(draws: NDArray, *, level: float = 0.95, subjects: int | None = None) -> tuple[float, float]:
    """Percentile interval of the draws, expanded for few subjects.

    Parameters
    ----------
    draws : ndarray, shape (draws,)
        Undefined ones (NaN) are left out.
    level : float
        Share of repeated studies whose interval is to hold the truth.
    subjects : int, optional
        How many were drawn from. Plain percentiles are too narrow by a factor of ``sqrt((n - 1) / n)`` and take the
        normal's quantile for Student's; with the number known the percentiles are moved outwards by as much.

    Returns
    -------
    low, high : float
        NaN, NaN where no draw is defined.

    References
    ----------
    Hesterberg (2015), What teachers should know about the bootstrap, section 4.3, the expanded percentile interval.
    """
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return float("nan"), float("nan")
    outside = (1 - level) / 2
    if subjects is not None and subjects > 1:
        outside = stats.norm.cdf(np.sqrt(subjects / (subjects - 1)) * stats.t.ppf(outside, subjects - 1))
    low, high = np.quantile(defined, [outside, 1 - outside])
    return float(low), float(high)


def ranking_draws(
    pooled: Ranking, subjects: Sequence[SortedScores], weights: NDArray, *, bins: int = BINS
) -> dict[str, NDArray]:
    """Draw the pooled ranking metrics.

    Parameters
    ----------
    pooled : Ranking
        Of all subjects' voxels together.
    subjects : sequence of (lesion, healthy)
        Rising scores of each subject, from :func:`uad_eval.ranking.sorted_scores`.
    weights : ndarray, shape (draws, subjects)
        From :func:`subject_weights`.
    bins : int
        Most thresholds to count at. With as many as there are distinct lesion scores the draws are exact.

    Returns
    -------
    dict of str to ndarray, shape (draws,)
        ``average_precision``, ``auroc``, ``best_dice``; NaN in draws without a lesion.

    Notes
    -----
    Memory is 24 bytes x subjects x bins.
    """
    names = ("average_precision", "auroc", "best_dice")
    if not pooled.lesion:
        return {name: np.full(len(weights), np.nan) for name in names}
    wanted = np.linspace(1, pooled.lesion, min(bins, pooled.lesion))
    at = pooled.scores[np.unique(np.searchsorted(pooled.hits, wanted - 0.5))]
    hits = np.stack([lesion.size - np.searchsorted(lesion, at, side="left") for lesion, _ in subjects])
    above = np.stack([healthy.size - np.searchsorted(healthy, at, side="right") for _, healthy in subjects])
    alarms = np.stack([healthy.size - np.searchsorted(healthy, at, side="left") for _, healthy in subjects])
    healthy = np.array([h.size for _, h in subjects], np.float64)
    counted = np.stack([hits, above, alarms]).astype(np.float64)

    parts = [_ranked(chunk, counted, healthy) for chunk in np.array_split(weights, -(-len(weights) // _CHUNK))]
    drawn = np.concatenate(parts, axis=1)
    undrawn = _ranked(np.ones((1, len(subjects))), counted, healthy)
    exact = np.array([[pooled.average_precision()], [pooled.auroc()], [pooled.best_dice()[0]]])
    return dict(zip(names, np.clip(drawn + exact - undrawn, 0, 1), strict=True))


def _ranked(weights: NDArray, counted: NDArray, healthy: NDArray) -> NDArray:
    """Ranking metrics (3, draws) of weighted sums of the subjects' counts (3, subjects, thresholds)."""
    hits, above, alarms = weights @ counted
    return np.stack(
        [
            ranked_average_precision(hits, alarms),
            ranked_auroc(hits, above, alarms, weights @ healthy),
            ranked_best_dice(hits, alarms),
        ]
    )


def mask_draws(counts: Counts, weights: NDArray) -> dict[str, NDArray]:
    """Draw the pooled mask metrics from subjects' counts (subjects,) and weights (draws, subjects)."""
    drawn = Counts(*(weights @ np.asarray(count, np.float64) for count in counts))
    return {name: metric(drawn) for name, metric in MASK_METRICS.items()}


def ratio_draws(totals: NDArray, sizes: NDArray, weights: NDArray) -> NDArray:
    """Draw a pooled mean, subjects' totals over subjects' sizes, both (subjects,); NaN totals count as left out."""
    defined = np.isfinite(totals)
    return ratio(weights @ np.where(defined, totals, 0.0), weights @ np.where(defined, sizes, 0.0))
