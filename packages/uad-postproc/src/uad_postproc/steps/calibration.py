"""From a map's own units to p-values under healthy validation voxels, in which any two maps can be compared."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step
from uad_postproc.steps.thresholds import healthy_scores

_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class HealthyPValue(Step):
    """How rare a value is in healthy brains: ``-log10 p``, where p is the share of healthy voxels at least as high.

    ``10 ** -map`` is the p-value, so that a `FixedThreshold` of 3 marks what one healthy voxel in a thousand reaches.
    p is (1 + healthy voxels at least as high) / (1 + healthy voxels), at 400 points in equal ratios down to the rarest,
    and log-linear in the value between them; it never gets smaller than 1 / (1 + healthy voxels). It is one voxel's
    p-value, not corrected for how many voxels there are.

    Fit it first, on the maps as they reach this step, and put the fitted step in a pipeline.

    Parameters
    ----------
    values, levels : tuple of float, optional
        Set by the fit: ascending map values, and the ``-log10 p`` of each.
    """

    values: tuple[float, ...] | None = None
    levels: tuple[float, ...] | None = None
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        if (self.values is None) != (self.levels is None):
            raise InputError("HealthyPValue: expected values and levels both or neither, found only one of them")
        if self.values is not None and self.levels is not None:
            values, levels = np.array(self.values, dtype=float), np.array(self.levels, dtype=float)
            rising = len(values) > 0 and bool((np.diff(values) > 0).all() and (np.diff(levels) >= 0).all())
            if values.shape != levels.shape or not rising or not np.isfinite([values, levels]).all():
                raise InputError("HealthyPValue: expected as many levels as values, both finite and rising")
            object.__setattr__(self, "values", tuple(values.tolist()))
            object.__setattr__(self, "levels", tuple(levels.tolist()))

    def fit(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """Count how many healthy voxels reach which value.

        Parameters
        ----------
        scores : numpy.ndarray, (k,), float32
            Maps of validation scans, voxels inside the brain only.
        lesion : numpy.ndarray, (k,), bool, optional
            Which of them are lesion; without it all count as healthy.

        Returns
        -------
        HealthyPValue
            A fitted copy.

        Raises
        ------
        InputError
            When there is no healthy voxel.
        """
        ranked = np.sort(healthy_scores("HealthyPValue", scores, lesion))
        rarity = np.geomspace(1, 1 / ranked.size, _POINTS)
        places = np.minimum(np.round((1 - rarity) * ranked.size).astype(int), ranked.size - 1)
        values = np.unique(ranked[places]).astype(np.float64)
        above = ranked.size - np.searchsorted(ranked, values.astype(ranked.dtype), side="left")
        levels = -np.log10((1 + above) / (1 + ranked.size))
        return replace(self, values=tuple(values.tolist()), levels=tuple(levels.tolist()))

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        if self.values is None or self.levels is None:
            raise InputError(
                "HealthyPValue: not fitted: call fit on healthy validation scores, and use what it returns"
            )
        levels = np.interp(x, self.values, self.levels).astype(np.float32)
        return np.where(context.brain, levels, np.float32(0))
