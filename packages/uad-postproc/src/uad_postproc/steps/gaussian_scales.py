"""Smoothing at several scales at once."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.smoothing import GaussianFilter
from uad_postproc.steps.step import Step, Unit


@dataclass(frozen=True)
class GaussianScales(Step):
    """Geometric mean of the Gaussian means of a map at several scales.

    What is high stays high only where its surroundings are too: a lesion, but not the rim of a sulcus; the narrow scale
    keeps the lesion's outline. Values below 0 count as 0. No paper's.

    Parameters
    ----------
    radii : tuple of float
        Standard deviations, two or more, in `unit`.
    unit : "voxel" or "mm"
        mm needs the context's spacing.
    """

    radii: tuple[float, ...] = (2.0, 6.0)
    unit: Unit = "voxel"
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        if len(self.radii) < 2:
            raise InputError(f"GaussianScales: radii: expected two or more, found {self.radii}")
        self._filters()

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        positive, product = np.maximum(x, 0), np.ones(x.shape, np.float32)
        for each in self._filters():
            product *= np.maximum(each.apply(positive, context), 0) ** np.float32(1 / len(self.radii))
        return product

    def _filters(self) -> list[GaussianFilter]:
        """One filter for each scale."""
        return [GaussianFilter(radius=radius, unit=self.unit) for radius in self.radii]
