"""From map to mask: a given threshold, ones fitted on healthy voxels, one fitted on labelled lesions.

Which of them was used belongs beside every figure: only `LabelFitted` thresholds have seen a lesion's label. Those that
an item's own map gives are in `uad_postproc.steps.per_item_thresholds`.
A voxel is set when its value lies strictly above the threshold.
"""

from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar, Self

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step

#: The 15 thresholds between 0 and 0.15 that Lambert et al. 2021 choose from, for images scaled to [0, 1].
LAMBERT2021_GRID = tuple(float(value) for value in np.linspace(0, 0.15, 15).round(6))


class Threshold(Step):
    """Base of all thresholds; `value` is None until it is fitted, and always where each item has its own."""

    value: float | None
    takes: ClassVar[frozenset[str]] = frozenset({"map"})
    needs_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.value is not None:
            object.__setattr__(self, "value", _finite(f"{type(self).__name__}: value", self.value))

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """Set the voxels of the brain above the threshold.

        Parameters
        ----------
        x : numpy.ndarray, (n, *spatial), float32
            Maps.
        context : Context
            The brain.

        Returns
        -------
        numpy.ndarray, (n, *spatial), bool
            The mask.

        Raises
        ------
        InputError
            When the threshold has not been fitted.
        """
        # float32 like the maps, so that a threshold equal to a map's own value behaves as equal.
        return (x > np.float32(self.fitted_value())) & context.brain

    def fitted_value(self) -> float:
        """Return the value.

        Returns
        -------
        float
            In the units of the map.

        Raises
        ------
        InputError
            When the threshold has not been fitted.
        """
        if self.value is None:
            raise InputError(
                f"{type(self).__name__} has no value yet: fit the pipeline on validation data, or set a threshold"
            )
        return self.value


@dataclass(frozen=True)
class FixedThreshold(Threshold):
    """A threshold that is known beforehand.

    Parameters
    ----------
    value : float
        In the units of the map.
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _finite("FixedThreshold: value", self.value))


@dataclass(frozen=True, kw_only=True)
class FittedThreshold(Threshold):
    """Base of thresholds that are fitted on the scores of validation voxels."""

    value: float | None = None

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """Return the threshold with its value set.

        Parameters
        ----------
        scores : numpy.ndarray, (k,), float32
            Scores of validation voxels inside the brain.
        lesion : numpy.ndarray, (k,), bool, optional
            Which of them are lesion.

        Returns
        -------
        FittedThreshold
            A fitted copy.

        Raises
        ------
        InputError
            When there is nothing to fit on.
        """
        raise NotImplementedError


class LabelFitted(FittedThreshold):
    """Base of thresholds whose fit needs lesion labels."""

    needs_labels: ClassVar[bool] = True


@dataclass(frozen=True)
class HealthyQuantile(FittedThreshold):
    """The lowest threshold that a stated share of healthy voxels, at most, lies above.

    The fit needs no labels: without them every voxel it gets counts as healthy, so give it healthy scans. With them,
    lesion voxels are left out.

    Parameters
    ----------
    false_positive_rate : float
        Share of healthy brain voxels above the threshold, from 0 (none) to below 1.
    value : float, optional
        Set by the fit, in the units of the map.
    """

    false_positive_rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate("HealthyQuantile", "false_positive_rate", self.false_positive_rate)

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """See `FittedThreshold.fit`."""
        healthy = healthy_scores("HealthyQuantile", scores, lesion)
        return replace(self, value=healthy_quantile(healthy, self.false_positive_rate))


@dataclass(frozen=True)
class HealthySigma(FittedThreshold):
    """Mean plus k standard deviations of healthy voxels.

    The fit needs no labels, as that of `HealthyQuantile`. Maps are skewed: under a normal distribution 0.13 % of the
    healthy voxels lie above 3 standard deviations, of the absolute value of Gaussian noise 0.9 %.

    Parameters
    ----------
    k : float
        Number of standard deviations.
    value : float, optional
        Set by the fit, in the units of the map.
    """

    k: float = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "k", _finite("HealthySigma: k", self.k))

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """See `FittedThreshold.fit`."""
        healthy = healthy_scores("HealthySigma", scores, lesion)
        return replace(self, value=float(healthy.mean(dtype=np.float64) + self.k * healthy.std(dtype=np.float64)))


@dataclass(frozen=True)
class BestDice(LabelFitted):
    """The threshold with the best Dice on labelled validation voxels, all scans pooled.

    The Dice is that of the thresholded scores, before any step that follows the threshold. Of equals the highest wins.

    Parameters
    ----------
    grid : tuple of float, optional
        Thresholds to choose from, in the units of the map. By default 200 quantiles of the scores: those that all
        down to 1 in 100 000 voxels reach, in equal ratios, because lesions are small.
    value : float, optional
        Set by the fit, in the units of the map.
    """

    grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid is not None:
            if len(self.grid) == 0:
                raise InputError("BestDice: grid: expected at least one threshold, found none")
            object.__setattr__(self, "grid", tuple(_finite("BestDice: grid", value) for value in self.grid))

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """See `FittedThreshold.fit`."""
        if lesion is None or not lesion.any():
            found = "no labels" if lesion is None else "labels without a lesion voxel inside the brain"
            raise InputError(
                f"BestDice: expected lesion labels of the validation scans, found {found}; "
                "use HealthyQuantile, which needs none"
            )
        ranked, ranked_lesion = np.sort(scores), np.sort(scores[lesion])
        values = _quantile_grid(ranked) if self.grid is None else np.array(self.grid, dtype=scores.dtype)
        grid = np.sort(values)[::-1]
        predicted = ranked.size - np.searchsorted(ranked, grid, side="right")
        hits = ranked_lesion.size - np.searchsorted(ranked_lesion, grid, side="right")
        dice = 2 * hits / (predicted + ranked_lesion.size)
        return replace(self, value=float(grid[np.argmax(dice)]))


def healthy_scores(step: str, scores: np.ndarray, lesion: np.ndarray | None) -> np.ndarray:
    """Scores of the voxels that are not lesion, refusing to return none."""
    healthy = scores if lesion is None else scores[~lesion]
    if healthy.size == 0:
        raise InputError(
            f"{step}: no healthy voxel to fit on: expected healthy voxels inside the brain, found none; "
            "check the brain masks and lesion labels of the validation scans"
        )
    return healthy


def healthy_quantile(healthy: np.ndarray, rate: float) -> float:
    """Return the lowest value that at most this share of the healthy values lies above."""
    rank = healthy.size - 1 - int(rate * healthy.size)
    return float(np.partition(healthy, rank)[rank])


def check_rate(step: str, name: str, rate: object) -> float:
    """Return a false positive rate as float, refusing what is not at least 0 and below 1."""
    value = _finite(f"{step}: {name}", rate)
    if not 0 <= value < 1:
        raise InputError(f"{step}: {name}: expected 0 <= rate < 1, found {value}")
    return value


def _finite(name: str, value: object) -> float:
    """Return a number as float, refusing what is not a finite one."""
    if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(float(value)):
        raise InputError(f"{name}: expected a finite number, found {value!r}")
    return float(value)


def _quantile_grid(ranked: np.ndarray) -> np.ndarray:
    """Scores that a share of 1 down to 1e-5 of the voxels reach, in 200 equal ratios."""
    above = np.geomspace(1, 1e-5, 200)
    return ranked[np.minimum(((1 - above) * ranked.size).astype(int), ranked.size - 1)]
