"""Volumes with an affine, whatever file they came from: turned to RAS+, and written back on their own grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uad_data.atomic import atomic_path
from uad_data.errors import InputError

_SUFFIXES = (".nii", ".nii.gz")


def to_ras(array: NDArray, affine: NDArray[np.float64]) -> tuple[NDArray, NDArray[np.float64]]:
    """Turn a volume to RAS+.

    Parameters
    ----------
    array : ndarray, shape (i, j, k)
        Voxels in the file's own order.
    affine : ndarray, shape (4, 4)
        Maps the file's voxel indices to RAS+ millimetres.

    Returns
    -------
    array : ndarray, shape (d, h, w)
        As `uad_data.readers.read_volume` gives it.
    affine : ndarray, shape (4, 4), float64
        Maps ``(w, h, d)`` to RAS+ millimetres.
    """
    orientation = nib.io_orientation(affine)
    ras = nib.apply_orientation(array, orientation)
    return ras.transpose(2, 1, 0), ras_affine(array.shape, affine)


def ras_affine(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the affine of the volume turned to RAS+."""
    return affine @ nib.orientations.inv_ornt_aff(nib.io_orientation(affine), shape)


def write_nifti(
    path_out: Path, array: NDArray, *, shape: tuple[int, ...], affine: NDArray[np.float64], reference: str
) -> None:
    """Write ``(d, h, w)`` as NIfTI on the grid of a file that is none.

    Parameters
    ----------
    path_out : Path
        The new file, ``.nii`` or ``.nii.gz``.
    array : ndarray, shape (d, h, w)
        In RAS+ order.
    shape : tuple of three int
        The reference's voxels (i, j, k).
    affine : ndarray, shape (4, 4)
        The reference's affine, to RAS+ millimetres.
    reference : str
        Its name, for messages.

    Raises
    ------
    InputError
        The ending is not NIfTI's, or the array's shape is not the reference's.
    """
    if not path_out.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{path_out}: expected a name ending in .nii or .nii.gz; maps of {reference} become NIfTI")
    orientation = nib.io_orientation(affine)
    expected = tuple(shape[axis] for axis in np.argsort(orientation[:, 0])[::-1])
    if array.shape != expected:
        raise InputError(f"{path_out}: expected the shape {expected} of {reference}, found {array.shape}")
    to_native = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    native = nib.apply_orientation(array.transpose(2, 1, 0), to_native)
    image = nib.Nifti1Image(native, affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path_out) as temporary:
        nib.save(image, temporary)
