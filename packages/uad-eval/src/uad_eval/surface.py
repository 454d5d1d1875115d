"""Distances between the surfaces of a mask and of the truth, in mm; SciPy's exact Euclidean distance transform.

The surface of a set is those of its voxels that have a face neighbour outside; the edge of the array counts as outside.
The definitions are those of MedPy 0.5, ``hd95`` and ``assd``. MONAI takes the larger of the two directions' percentiles
for Hausdorff-95 instead of the percentile of both together, and the package ``surface-distance`` weighs surface
elements by their area; ``docs/metrics.md`` shows how far apart they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from uad_eval.empty_cases import LESION, empty_cases
from uad_eval.errors import InputError


class SurfaceDistances(NamedTuple):
    """Distances of two surfaces, mm.

    Attributes
    ----------
    hausdorff_95 : float
        95th percentile of the distances from each surface's voxels to the other surface, both directions together.
    mean : float
        Average symmetric surface distance: mean of the same distances, both directions together.
    """

    hausdorff_95: float
    mean: float


def surface_distances(
    mask: ArrayLike, truth: ArrayLike, *, spacing: Sequence[float] | None = None, empty: str = LESION
) -> SurfaceDistances:
    """Measure how far the surface of a mask lies from that of the truth.

    Parameters
    ----------
    mask, truth : array_like, shape (h, w) or (d, h, w)
        Non-zero is marked, non-zero is lesion.
    spacing : sequence of float, optional
        Size of a voxel along each axis in mm; 1 mm by default.
    empty : str
        Rule where one or both are empty, one of :data:`uad_eval.empty_cases.EMPTY_CASES`.

    Returns
    -------
    SurfaceDistances

    Raises
    ------
    InputError
        Shapes differ, the spacing does not fit, or the rule is unknown.
    """
    marked, lesion = np.asarray(mask) != 0, np.asarray(truth) != 0
    if marked.shape != lesion.shape or marked.ndim not in (2, 3):
        raise InputError(
            f"mask and truth: expected one shape, (h, w) or (d, h, w), found {marked.shape} and {lesion.shape}"
        )
    sizes = np.ones(marked.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if sizes.shape != (marked.ndim,) or not (sizes > 0).all():
        raise InputError(f"spacing: expected {marked.ndim} sizes in mm above 0, found {spacing}")
    rule = empty_cases(empty)
    if not (marked.any() and lesion.any()):
        value = rule.distance_one if marked.any() or lesion.any() else rule.distance
        return SurfaceDistances(value, value)
    box = _box(marked | lesion)
    surfaces = [_surface(part[box]) for part in (marked, lesion)]
    distances = np.concatenate([_to(target, source, sizes) for source, target in (surfaces, surfaces[::-1])])
    return SurfaceDistances(float(np.percentile(distances, 95)), float(distances.mean()))


def _surface(part: NDArray) -> NDArray:
    """Voxels of a set with a face neighbour outside it."""
    return part & ~ndimage.binary_erosion(part)


def _to(target: NDArray, source: NDArray, sizes: NDArray) -> NDArray:
    """Distance of each voxel of the source to the nearest of the target (voxels of source,)."""
    return ndimage.distance_transform_edt(~target, sampling=sizes)[source]


def _box(mask: NDArray) -> tuple[slice, ...]:
    """Smallest box that holds a mask that is not empty."""
    return ndimage.find_objects(mask.astype(np.uint8))[0]
