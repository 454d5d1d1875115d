"""FROC: share of lesions found against false regions per scan, over thresholds.

At each threshold the mask is the map strictly above it, and lesions and regions are matched as in
:mod:`uad_eval.lesionwise`: a lesion is found when a tenth of it is marked, a region is false when less than a tenth of
it is lesion. As the threshold falls regions grow together, so that false regions per scan may fall again; the curve is
read off as *the highest sensitivity at no more than so many false regions*.

The summary is that of LUNA16 (Setio et al. 2017): the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false regions
per scan.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError
from uad_eval.lesionwise import OVERLAP, count_lesions
from uad_eval.ranking import ratio

AT_FALSE_REGIONS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class Froc(NamedTuple):
    """Points of the curve, by falling threshold.

    Attributes
    ----------
    threshold : ndarray, shape (t,)
    found, false_regions : ndarray of int64, shape (t,)
        Lesions found and false regions, over all scans.
    lesions, scans : int
        How many there are.
    """

    threshold: NDArray
    found: NDArray
    false_regions: NDArray
    lesions: int
    scans: int

    @property
    def sensitivity(self) -> NDArray:
        """Share of lesions found (t,); NaN without a lesion."""
        return ratio(self.found, np.full(self.found.shape, self.lesions))

    @property
    def false_per_scan(self) -> NDArray:
        """False regions per scan (t,)."""
        return self.false_regions / self.scans

    def sensitivity_at(self, false_regions: float) -> float:
        """Highest sensitivity at no more than so many false regions per scan; 0 where no threshold has so few."""
        if not self.lesions:
            return float("nan")
        return float(np.max(self.sensitivity, where=self.false_per_scan <= false_regions, initial=0.0))

    def score(self, at: Sequence[float] = AT_FALSE_REGIONS) -> float:
        """Mean sensitivity at the stated numbers of false regions per scan; NaN without a lesion."""
        return float(np.mean([self.sensitivity_at(number) for number in at]))


def froc(scans: Iterable[tuple[ArrayLike, ArrayLike]], thresholds: ArrayLike, *, overlap: float = OVERLAP) -> Froc:
    """Count lesions found and false regions at each threshold.

    Parameters
    ----------
    scans : iterable of (map, truth)
        Each of one shape, (h, w) or (d, h, w); non-zero is lesion. Set maps outside the scope to ``-inf``. Taken one at
        a time; scans without a lesion count among the scans.
    thresholds : array_like, shape (t,)
        On the maps' scale, shared by all scans.
    overlap : float
        As :func:`uad_eval.lesionwise.count_lesions`.

    Returns
    -------
    Froc

    Raises
    ------
    InputError
        There is no scan or no threshold, a threshold or a score is NaN, or as :func:`count_lesions`.
    """
    falling = np.sort(np.asarray(thresholds, np.float64).ravel())[::-1]
    if not falling.size or np.isnan(falling).any():
        raise InputError(f"froc: expected thresholds, found {falling.size}, {np.count_nonzero(np.isnan(falling))} NaN")
    found, false_regions = np.zeros((2, falling.size), np.int64)
    lesions = seen = 0
    for scores, truth in scans:
        scores = np.asarray(scores)
        if np.isnan(scores).any():
            raise InputError(f"froc: scan {seen}: expected scores, found NaN; mend the anomaly map before it is scored")
        counted = [count_lesions(scores > value, truth, overlap=overlap) for value in falling]
        found += [int(count.found.sum()) for count in counted]
        false_regions += [int(count.regions.sum() - count.true.sum()) for count in counted]
        lesions += int(counted[0].lesions.sum())
        seen += 1
    if not seen:
        raise InputError("froc: expected at least one scan, found none")
    return Froc(falling, found, false_regions, lesions, seen)
