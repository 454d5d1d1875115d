"""Agreement of marked and true lesion volume: Bland and Altman's bias and limits of agreement.

Bland & Altman (1986), Statistical methods for assessing agreement between two methods of clinical measurement, Lancet.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from uad_eval.errors import InputError

_LIMIT = 1.96  # standard deviations; their definition, not a quantile of t


class VolumeAgreement(NamedTuple):
    """Differences, marked less true volume, in the unit of the volumes (ml).

    Attributes
    ----------
    scans : int
    bias, bias_low, bias_high : float
        Mean difference and its 95 % interval (Student's t).
    low, high : float
        Limits of agreement, bias ± 1.96 standard deviations of the differences: between them lie about 95 % of the
        differences of single scans, if these are normal.
    """

    scans: int
    bias: float
    bias_low: float
    bias_high: float
    low: float
    high: float


def volume_agreement(marked: ArrayLike, true: ArrayLike) -> VolumeAgreement:
    """Compare marked and true volumes, scan by scan.

    Parameters
    ----------
    marked, true : array_like, shape (scans,)
        In ml. A scan without a lesion, or with an empty mask, has the volume 0 and counts.

    Returns
    -------
    VolumeAgreement
        NaN without a scan; without a spread (interval and limits NaN) for one.

    Raises
    ------
    InputError
        Lengths differ, or a volume is negative or not finite.
    """
    marked, true = np.asarray(marked, np.float64), np.asarray(true, np.float64)
    if marked.shape != true.shape or marked.ndim != 1:
        raise InputError(
            f"volumes: expected one marked and one true per scan, found shapes {marked.shape} and {true.shape}"
        )
    both = np.concatenate([marked, true])
    if not (np.isfinite(both) & (both >= 0)).all():
        raise InputError("volumes: expected finite ones of 0 or more, found others")
    difference, nan = marked - true, float("nan")
    if difference.size < 2:
        return VolumeAgreement(difference.size, float(difference[0]) if difference.size else nan, nan, nan, nan, nan)
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    half = float(stats.t.ppf(0.975, difference.size - 1)) * spread / np.sqrt(difference.size)
    return VolumeAgreement(
        difference.size, bias, bias - half, bias + half, bias - _LIMIT * spread, bias + _LIMIT * spread
    )
