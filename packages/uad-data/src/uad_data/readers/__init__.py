"""Reading images and masks, and writing maps on the grid of the image they belong to.

A *source* names one volume: a NIfTI file (``.nii``, ``.nii.gz``), a picture (one axial slice, or one slice per page
of a multi-page TIFF), or a stack of pictures, one slice each, given by wildcards in the file name and taken in
natural order (``slice_2`` before ``slice_10``). A picture may end in ``#k`` to take its channel k:
``"case7/case7_*[0-9].tif#1"``. It may also be a folder of DICOM slices, with ``#<SeriesInstanceUID>`` where the folder
holds several series, a MetaImage file (``.mha``), or a volume of fastMRI (``.h5``) or its boxes
(``brain.csv#<volume>.h5``).
"""

from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.readers import dicom, fastmri, mha, nifti, pictures
from uad_data.readers.values import check_image, check_labels

__all__ = ["map_ending", "read_affine", "read_labels", "read_volume", "source_files", "write_like"]

Source = str | Path


def read_volume(source: Source) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read one image, turned to RAS+.

    Parameters
    ----------
    source : str or Path
        A NIfTI file, a picture, a stack of pictures, a folder of DICOM slices, or another source as above.

    Returns
    -------
    array : ndarray, shape (d, h, w), float32
        Intensities; ``d`` ascends towards superior, ``h`` towards anterior, ``w`` towards the right.
    affine : ndarray, shape (4, 4), float64
        Maps ``(w, h, d)`` voxel indices to RAS+ millimetres; the identity for pictures.

    Raises
    ------
    InputError
        The file is missing, cut short, of another format, not three-dimensional, holds NaN or infinity, or is
        constant.
    """
    array, affine = _format_of(source).read(str(source))
    return check_image(array, source), affine


def read_labels(source: Source) -> NDArray[np.uint8]:
    """Read one mask, turned to RAS+.

    Parameters
    ----------
    source : str or Path
        As for `read_volume`. In a picture, white (255) alone stands for label 1.

    Returns
    -------
    ndarray, shape (d, h, w), uint8
        0 background, 1 and above classes.

    Raises
    ------
    InputError
        As for `read_volume`, and for labels that are not whole numbers from 0 to 255. A constant mask is allowed.
    """
    reader = _format_of(source)
    array, _ = reader.read(str(source))
    labels = check_labels(array, source)
    return pictures.classes(labels, str(source)) if reader is pictures else labels


def read_affine(source: Source) -> NDArray[np.float64]:
    """Read the affine that `read_volume` would give, without the voxels."""
    return _format_of(source).read_affine(str(source))


def write_like(path_out: str | Path, array: NDArray, reference: Source) -> None:
    """Write a map or a mask in a reference's own grid, orientation and header, whole or not at all.

    Parameters
    ----------
    path_out : str or Path
        The new file: ``.tif`` for pictures (one page per slice), else ``.nii`` or ``.nii.gz``. DICOM, MetaImage and
        fastMRI references become NIfTI on their own grid.
    array : ndarray, shape (d, h, w)
        As `read_volume` gave the reference. Written as uint8 if it is bool or uint8, else as float32.
    reference : str or Path
        The source that the array belongs to.

    Raises
    ------
    InputError
        The array's shape is not the reference's, or the ending of `path_out` does not suit it.
    """
    dtype = np.uint8 if array.dtype in (np.bool_, np.uint8) else np.float32
    _format_of(reference).write_like(Path(path_out), array.astype(dtype), str(reference))


def map_ending(source: Source) -> str:
    """Give the ending that a map written by `write_like` has: ``.tif`` for pictures, else ``.nii.gz``."""
    return ".tif" if _format_of(source) is pictures else ".nii.gz"


def source_files(source: Source) -> list[Path]:
    """List the files behind a source, in slice order; InputError if there is none."""
    return _format_of(source).files(str(source))


def _format_of(source: Source) -> ModuleType:
    """Choose the reader by the ending of the name."""
    for reader in (nifti, pictures, mha, fastmri, dicom):
        if reader.handles(str(source)):
            return reader
    endings = ", ".join((*nifti.SUFFIXES, *pictures.SUFFIXES, *mha.SUFFIXES, ".h5"))
    raise InputError(
        f"{source}: expected a file ending in one of {endings}, or a folder of DICOM slices, found neither; "
        "check the path, or convert the file first"
    )
