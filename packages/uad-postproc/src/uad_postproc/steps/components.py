"""Connected components of a mask: small ones are rarely lesions."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import ndimage

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step


@dataclass(frozen=True, kw_only=True)
class SmallObjectRemoval(Step):
    """Remove connected components below a size, given in voxels or in ml.

    In 2D a component is an area of one slice, and ml is its area times the slice's thickness.

    Parameters
    ----------
    min_voxels : int, optional
        Smallest component that stays, in voxels.
    min_ml : float, optional
        Smallest component that stays, in ml; needs the context's spacing. Exactly one of the two is given.
    connectivity : "full" or "face"
        Whether voxels that share only a corner or edge are connected (8 in 2D, 26 in 3D) or not (4, 6).
    """

    min_voxels: int | None = None
    min_ml: float | None = None
    connectivity: Literal["full", "face"] = "full"
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        sizes = [size for size in (self.min_voxels, self.min_ml) if size is not None]
        if len(sizes) != 1 or not np.isfinite(sizes[0]) or sizes[0] <= 0:
            raise InputError(
                "SmallObjectRemoval: expected one of min_voxels and min_ml, positive, "
                f"found min_voxels={self.min_voxels}, min_ml={self.min_ml}"
            )
        if self.connectivity not in ("full", "face"):
            raise InputError(
                f"SmallObjectRemoval: connectivity: expected 'full' or 'face', found {self.connectivity!r}"
            )

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        # Components must not pass from one item to the next, so only the middle plane of the structure is set.
        structure = np.zeros((3,) * x.ndim, dtype=bool)
        reach = context.spatial_ndim if self.connectivity == "full" else 1
        structure[1] = ndimage.generate_binary_structure(context.spatial_ndim, reach)
        labels, _ = ndimage.label(x, structure=structure)
        keep = np.bincount(labels.ravel(), minlength=1) >= self._least_voxels(context)
        keep[0] = False
        return keep[labels]

    def _least_voxels(self, context: Context) -> float:
        """Smallest number of voxels that stays."""
        if self.min_ml is None:
            return float(self.min_voxels or 0)
        # Slack for voxel sizes from headers, which keep single precision: 0.9 mm is 0.89999998 there.
        return self.min_ml / context.voxel_ml * (1 - 1e-6)
