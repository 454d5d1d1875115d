"""Smoothing: the median and the Gaussian mean of a map, the majority of a mask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from uad_postproc.context import Context
from uad_postproc.steps.running_median import running_median
from uad_postproc.steps.step import Step, Unit, check_radius, check_window


@dataclass(frozen=True)
class MedianFilter(Step):
    """Median over a square (2D) or cube (3D) around each voxel.

    Voxels outside the brain, and beyond the array, enter as zeros: at the brain's edge the median is pulled down, which
    damps the bright rim that residuals have there.

    Parameters
    ----------
    size : int
        Side of the window in voxels, odd, 3 or more.
    """

    size: int = 5
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        check_window("MedianFilter", self.size)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        inside = np.where(context.brain, x, np.float32(0))
        return np.where(context.brain, running_median(inside, size=self.size), np.float32(0))


@dataclass(frozen=True)
class GaussianFilter(Step):
    """Mean around each voxel, weighted by a Gaussian; voxels outside the brain take no part.

    Parameters
    ----------
    radius : float
        Standard deviation of the Gaussian, in `unit`; it is cut off at 3 of them.
    unit : "voxel" or "mm"
        mm needs the context's spacing.
    """

    radius: float = 1
    unit: Unit = "voxel"
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        check_radius("GaussianFilter", self.radius, self.unit)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        spacing = np.ones(context.spatial_ndim) if self.unit == "voxel" else np.array(context.voxel_mm)
        sigma = (0, *(self.radius / spacing))
        inside = np.where(context.brain, x, np.float32(0))
        total = ndimage.gaussian_filter(inside, sigma, mode="constant", truncate=3)
        weight = ndimage.gaussian_filter(context.brain.astype(np.float32), sigma, mode="constant", truncate=3)
        return np.where(context.brain, total / np.where(context.brain, weight, 1), np.float32(0))


@dataclass(frozen=True)
class MajorityFilter(Step):
    """Median of a mask: a voxel is set when more than half of the window around it is.

    Voxels outside the brain, and beyond the array, count as unset.

    Parameters
    ----------
    size : int
        Side of the window in voxels, odd, 3 or more.
    """

    size: int = 3
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        check_window("MajorityFilter", self.size)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        half = self.size // 2
        count = (x & context.brain).astype(np.uint32)
        for axis in range(1, x.ndim):
            padding = [(half, half) if a == axis else (0, 0) for a in range(x.ndim)]
            padded = np.moveaxis(np.pad(count, padding), axis, 0)
            shifted = [padded[i : i + x.shape[axis]] for i in range(self.size)]
            count = np.moveaxis(np.add.reduce(shifted), 0, axis)
        return (2 * count > self.size**context.spatial_ndim) & context.brain
