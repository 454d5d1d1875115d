"""Two thresholds: regions above the lower one that reach above the higher one."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.thresholds import FittedThreshold, check_rate, healthy_quantile, healthy_scores


@dataclass(frozen=True, kw_only=True)
class Hysteresis(FittedThreshold):
    """Keep what lies above a low threshold and hangs together with a voxel above a high one.

    Voxels hang together through faces, inside an item. The fit takes both thresholds from healthy voxels, as
    `HealthyQuantile` does, and needs no labels. `Pipeline.with_threshold` of a number replaces both by that one.

    Parameters
    ----------
    false_positive_rate : float
        Share of healthy brain voxels above the high threshold, from 0 to below 1.
    low_false_positive_rate : float
        Share above the low threshold; at least as much.
    value, low : float, optional
        The high and the low threshold, in the units of the map: set by the fit, or both given instead of one.
    """

    false_positive_rate: float = 0.002
    low_false_positive_rate: float = 0.02
    low: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        high = check_rate("Hysteresis", "false_positive_rate", self.false_positive_rate)
        low = check_rate("Hysteresis", "low_false_positive_rate", self.low_false_positive_rate)
        if high > low:
            raise InputError(
                f"Hysteresis: expected false_positive_rate at most low_false_positive_rate, found {high} and {low}"
            )
        if (self.value is None) != (self.low is None):
            raise InputError(f"Hysteresis: expected value and low both or neither, found {self.value} and {self.low}")
        if self.value is not None and not (self.low is not None and self.low <= self.value):
            raise InputError(f"Hysteresis: expected low at most value, found {self.low} and {self.value}")

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """See `FittedThreshold.fit`."""
        healthy = healthy_scores("Hysteresis", scores, lesion)
        high, low = (healthy_quantile(healthy, r) for r in (self.false_positive_rate, self.low_false_positive_rate))
        return replace(self, value=high, low=low)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Threshold.apply`."""
        from skimage.filters import apply_hysteresis_threshold  # imported late: slow to import

        high = np.float32(self.fitted_value())
        low = np.float32(high if self.low is None else self.low)
        out = np.zeros(x.shape, dtype=bool)
        for item, brain, mask in zip(x, context.brain, out, strict=True):
            mask[...] = apply_hysteresis_threshold(np.where(brain, item, -np.inf), low, high)
        return out
