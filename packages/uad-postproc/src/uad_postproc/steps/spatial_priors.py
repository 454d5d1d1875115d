"""What is known of where lesions lie: healthy brains are nearly symmetric, and an atlas tells likely places.

Both are options that no published pipeline here uses. They take away as well as add: a symmetry prior hides lesions on
both sides and at the midline, an atlas prior those in unusual places.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import ndimage

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step, check_number


@dataclass(frozen=True, kw_only=True)
class SymmetryPrior(Step):
    """Lower what is as bright on the other side of the brain.

    The mirror stands in the middle of the brain's extent along the axis, for each item by itself, upright to the axis:
    heads should be registered, or at least straight. What is compared with is the largest value within `slack` voxels
    of the mirrored place.

    Parameters
    ----------
    axis : int
        Spatial axis from left to right: 0 is the first after the items; negative ones count from the last.
    weight : float
        How much the other side counts, above 0.
    mode : "subtract" or "limit"
        Subtract the weighted other side, down to 0; or set to 0 what does not exceed it and leave the rest.
    slack : int
        In voxels, along every axis.
    """

    axis: int = -1
    weight: float = 1.0
    mode: Literal["subtract", "limit"] = "subtract"
    slack: int = 2
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        if self.axis not in range(-3, 3):
            raise InputError(f"SymmetryPrior: axis: expected a spatial axis, -3 to 2, found {self.axis!r}")
        if self.mode not in ("subtract", "limit"):
            raise InputError(f"SymmetryPrior: mode: expected 'subtract' or 'limit', found {self.mode!r}")
        if check_number("SymmetryPrior", "weight", self.weight, least=0) == 0:
            raise InputError("SymmetryPrior: weight: expected more than 0, found 0")
        check_number("SymmetryPrior", "slack", self.slack, least=0)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        ndim = context.spatial_ndim
        if not -ndim <= self.axis < ndim:
            raise InputError(f"SymmetryPrior: axis: expected one of the {ndim} spatial axes, found {self.axis}")
        axis, out = self.axis % ndim, np.zeros_like(x)
        for item, brain, result in zip(x, context.brain, out, strict=True):
            extent = np.flatnonzero(brain.any(axis=tuple({*range(ndim)} - {axis})))
            if extent.size:
                values = np.where(brain, item, np.float32(0))
                other = np.float32(self.weight) * self._mirrored(values, axis, int(extent[0] + extent[-1]))
                kept = np.maximum(values - other, 0) if self.mode == "subtract" else np.where(values > other, values, 0)
                result[...] = np.where(brain, kept, 0)
        return out

    def _mirrored(self, values: np.ndarray, axis: int, ends: int) -> np.ndarray:
        """Other side of an item: voxel i is given what stands at ``ends - i``, 0 where that is beyond the array."""
        places = ends - np.arange(values.shape[axis])
        known = (places >= 0) & (places < values.shape[axis])
        other = np.take(values, places.clip(0, values.shape[axis] - 1), axis=axis)
        other *= known.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        return ndimage.maximum_filter(other, size=2 * int(self.slack) + 1, mode="constant")


@dataclass(frozen=True)
class AtlasPrior(Step):
    """Multiply the map by the context's prior, a weight for each voxel.

    Parameters
    ----------
    power : float
        Exponent of the weight, 0 or more: 0 is no prior, 1 the prior as it is.
    """

    power: float = 1.0
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        check_number("AtlasPrior", "power", self.power, least=0)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        if context.prior is None:
            raise InputError("AtlasPrior: expected a weight for each voxel, found none: give Context its prior")
        weight = np.power(context.prior, self.power, dtype=np.float32)
        return np.where(context.brain, x * weight, np.float32(0))
