"""Shape of a mask: opening, closing, filling of holes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from uad_postproc.context import Context
from uad_postproc.steps.step import Step, Unit, check_radius
from uad_postproc.steps.structuring import ball_offsets, dilate, erode


@dataclass(frozen=True)
class Opening(Step):
    """Remove what a disk (2D) or ball (3D) does not fit into: specks, thin lines.

    Parameters
    ----------
    radius : float
        Radius in `unit`; 1 voxel is the voxel and its face neighbours.
    unit : "voxel" or "mm"
        mm needs the context's spacing.
    """

    radius: float = 1
    unit: Unit = "voxel"
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        check_radius("Opening", self.radius, self.unit)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        offsets = ball_offsets(radius=self.radius, unit=self.unit, context=context)
        return dilate(erode(x, offsets), offsets)


@dataclass(frozen=True)
class Closing(Step):
    """Fill the gaps that a disk (2D) or ball (3D) does not fit into: cracks, pits; inside the brain only.

    Parameters
    ----------
    radius : float
        Radius in `unit`; 1 voxel is the voxel and its face neighbours.
    unit : "voxel" or "mm"
        mm needs the context's spacing.
    """

    radius: float = 1
    unit: Unit = "voxel"
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        check_radius("Closing", self.radius, self.unit)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        offsets = ball_offsets(radius=self.radius, unit=self.unit, context=context)
        return erode(dilate(x, offsets), offsets) & context.brain


@dataclass(frozen=True)
class HoleFilling(Step):
    """Set the unset voxels that a lesion encloses, whatever their size; inside the brain only.

    A hole is unset and has no path to the array's border through faces of unset voxels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        return (x | enclosed(x)) & context.brain


def enclosed(mask: np.ndarray) -> np.ndarray:
    """Unset voxels of each item (n, *spatial) that set ones cut off from the array's border."""
    border = ((1, 1),) * (mask.ndim - 1)
    faces = np.zeros((3,) * mask.ndim, dtype=bool)
    faces[1] = ndimage.generate_binary_structure(mask.ndim - 1, 1)
    labels, _ = ndimage.label(~np.pad(mask, ((0, 0), *border)), structure=faces)
    outer = labels[(slice(None), *(slice(1) for _ in border))]
    inner = labels[(slice(None), *(slice(1, -1) for _ in border))]
    return (inner != 0) & (inner != outer)
