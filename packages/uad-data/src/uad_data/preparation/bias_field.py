"""The smooth brightness that coils add to an image, by N4."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.single_thread import single_thread


def bias_field(
    volume: NDArray,
    affine: NDArray,
    mask: NDArray | None = None,
    *,
    work_mm: float = 4.0,
    iterations: int = 30,
    levels: int = 3,
    tolerance: float = 1e-3,
) -> NDArray[np.float32]:
    """Estimate the bias field; ``volume / field`` is the corrected volume.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        Intensities of one sequence; finite.
    affine : ndarray, shape (4, 4)
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.
    mask : ndarray of bool, shape (d, h, w), optional
        Where to look, the brain at best. Without one: what is brighter than the mean, the head.
    work_mm : float
        The estimate is made on voxels about this large; the field is smooth, so that little is lost.
    iterations : int
        At most, per level.
    levels : int
        The field's control points double with each, from 4 per axis.
    tolerance : float
        A level ends when the field changes by less.

    Returns
    -------
    ndarray, shape (d, h, w), float32
        Above 0, of mean 1 (geometric) inside the mask.

    Raises
    ------
    InputError
        The volume is not 3D and finite, the mask has another shape or is empty, or a number is not positive.

    References
    ----------
    N. Tustison et al., N4ITK: improved N3 bias correction, IEEE TMI 29, 2010; by SimpleITK on one thread.
    """
    values, inside = _check(volume, mask, (work_mm, iterations, levels, tolerance))
    spacing = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    # N4 takes logarithms: a floor of 1 % of the brain keeps fluid and air from ruling them.
    low = min(float(values.min()), 0.0)
    floor = 0.01 * float(np.median(values[inside]) - low)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    image = sitk.GetImageFromArray(np.maximum(values[box] - low, floor))
    image.SetSpacing(spacing.tolist())
    where = sitk.GetImageFromArray(inside[box].astype(np.uint8))
    where.SetSpacing(spacing.tolist())
    # No fewer than 8 voxels along an axis, or thick slices would be merged to nothing.
    shrink = [int(max(1, min(round(work_mm / s), n // 8))) for s, n in zip(spacing, image.GetSize(), strict=True)]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations([iterations] * levels)
    method.SetConvergenceThreshold(tolerance)
    with single_thread():
        small, small_where = sitk.Shrink(image, shrink), sitk.Shrink(where, shrink)
        if not sitk.GetArrayViewFromImage(small_where).any():
            small, small_where = image, where
        method.Execute(small, small_where)
        log_field = sitk.GetArrayFromImage(method.GetLogBiasFieldAsImage(image))
    log_field -= log_field[inside[box]].mean()
    # Beyond the mask's box nothing is known; the field goes on as it is at the edge.
    margins = [(b.start, n - b.stop) for b, n in zip(box, values.shape, strict=True)]
    return np.exp(np.pad(log_field, margins, mode="edge"), dtype=np.float32)


def _check(
    volume: NDArray, mask: NDArray | None, numbers: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Refuse what N4 cannot work on; return the values and where to look."""
    values = np.asarray(volume, np.float32)
    if values.ndim != 3 or values.size == 0 or not np.isfinite(values).all():
        found = f"shape {values.shape}" if values.ndim != 3 or values.size == 0 else "NaN or infinity"
        raise InputError(f"bias field: expected a finite volume (d, h, w), found {found}")
    if not all(np.isfinite(n) and n > 0 for n in numbers):
        raise InputError(f"bias field: expected positive work_mm, iterations, levels and tolerance, found {numbers}")
    if mask is not None and np.shape(mask) != values.shape:
        raise InputError(f"bias field: expected a mask of shape {values.shape}, found {np.shape(mask)}")
    inside = values > values.mean() if mask is None else np.asarray(mask, bool)
    if mask is None:
        inside = ndimage.binary_fill_holes(inside)
    if not inside.any() or np.ptp(values[inside]) == 0:
        raise InputError("bias field: expected a head, found no contrast where it was looked for; check scan and mask")
    return values, inside
