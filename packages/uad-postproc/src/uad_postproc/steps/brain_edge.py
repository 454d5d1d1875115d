"""The brain's edge, where reconstructions are blurred and residuals are bright in healthy brains too."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from uad_postproc.context import Context
from uad_postproc.steps.step import Step, Unit, check_radius
from uad_postproc.steps.structuring import ball_offsets, erode


@dataclass(frozen=True)
class BrainErosion(Step):
    """Set to zero what lies within a distance of the brain's edge.

    A voxel stays when all voxels within the radius (Euclidean, between voxel centres) belong to the brain. Where the
    field of view cuts the brain there is no edge, and nothing is removed. Lesions that touch the edge lose their rim.

    Parameters
    ----------
    radius : float
        Width of the rim that is removed, in `unit`.
    unit : "voxel" or "mm"
        mm needs the context's spacing.
    """

    radius: float = 2
    unit: Unit = "voxel"
    takes: ClassVar[frozenset[str]] = frozenset({"map", "mask"})

    def __post_init__(self) -> None:
        check_radius("BrainErosion", self.radius, self.unit)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        inner = erode(context.brain, ball_offsets(radius=self.radius, unit=self.unit, context=context))
        return np.where(inner, x, np.zeros((), x.dtype))
