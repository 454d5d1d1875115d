"""Whether probabilities mean what they say: reliability, expected calibration error and Brier score.

For maps of probabilities only; a residual is none. Bins are of equal width, closed above as in Guo et al. (2017, On
calibration of modern neural networks, equations 1 to 3), the first closed below too. Counts of bins add up, so that any
number of scans can be taken one at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError
from uad_eval.ranking import ratio

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Sums of voxels by predicted probability.

    Attributes
    ----------
    voxels, lesion, probability, squared_error : ndarray of float64, shape (bins,)
        Voxels of each bin, lesion voxels among them, the sum of their probabilities, and the sum of the squared
        differences of probability and truth.
    """

    voxels: NDArray
    lesion: NDArray
    probability: NDArray
    squared_error: NDArray

    @classmethod
    def of(cls, probabilities: ArrayLike, truth: ArrayLike, *, bins: int = BINS) -> "Reliability":
        """Count voxels by probability.

        Parameters
        ----------
        probabilities : array_like, any shape
            In 0..1.
        truth : array_like, same shape
            Non-zero is lesion.
        bins : int

        Returns
        -------
        Reliability

        Raises
        ------
        InputError
            Shapes differ, or a value is no probability.
        """
        values, truth = np.asarray(probabilities, np.float64).ravel(), np.asarray(truth)
        if np.shape(probabilities) != truth.shape:
            raise InputError(
                f"probabilities and truth must have one shape, found {np.shape(probabilities)} and {truth.shape}"
            )
        if values.size and not (values.min() >= 0 and values.max() <= 1):  # false for NaN too
            raise InputError(
                f"calibration: expected probabilities from 0 to 1, found {np.nanmin(values):g} to "
                f"{np.nanmax(values):g} and {np.count_nonzero(np.isnan(values))} NaN; a residual is no probability"
            )
        lesion = (truth != 0).ravel()
        which = np.maximum(np.ceil(values * bins).astype(np.int64), 1) - 1
        summed = [np.bincount(which, w, minlength=bins) for w in (None, lesion, values, np.square(values - lesion))]
        return cls(*(part.astype(np.float64) for part in summed))

    def __add__(self, other: "Reliability") -> "Reliability":
        """Put two scans together."""
        return Reliability(
            self.voxels + other.voxels,
            self.lesion + other.lesion,
            self.probability + other.probability,
            self.squared_error + other.squared_error,
        )

    def curve(self) -> tuple[NDArray, NDArray]:
        """Mean probability and share of lesion voxels of each bin, both (bins,); NaN where a bin is empty."""
        return ratio(self.probability, self.voxels), ratio(self.lesion, self.voxels)

    def expected_error(self) -> float:
        """Give the expected calibration error: mean over voxels of a bin's |share of lesion − mean probability|."""
        return float(ratio(np.abs(self.lesion - self.probability).sum(), self.voxels.sum()))

    def brier(self) -> float:
        """Give the Brier score, in 0..1: mean squared difference of probability and truth."""
        return float(ratio(self.squared_error.sum(), self.voxels.sum()))


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, *, bins: int = BINS) -> float:
    """Give the expected calibration error; NaN without a voxel; parameters as :meth:`Reliability.of`."""
    return Reliability.of(probabilities, truth, bins=bins).expected_error()
