"""NIfTI in and out: a map, what lies on its grid, and masks written in the map's own grid and header."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from uad_postproc.errors import InputError

_SUFFIXES = (".nii", ".nii.gz")
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError)
# Two affines within this many mm of each other are one: headers keep single precision.
_AFFINE_MM = 1e-2


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D volume and the image it was read from.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    array : numpy.ndarray, (i, j, k), float32
        Finite values, axes as in the file.
    image : nibabel.Nifti1Image
        For its affine and header.
    """

    path: Path
    array: np.ndarray
    image: nib.Nifti1Image


def read_volume(path: Path) -> Volume:
    """Read a 3D NIfTI file.

    Parameters
    ----------
    path : pathlib.Path
        A .nii or .nii.gz file.

    Returns
    -------
    Volume
        The values as float32.

    Raises
    ------
    InputError
        When the file is missing, cut short, not NIfTI, not 3D, or holds NaN or infinity.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with _reading(path):
        image = nib.load(path)
    if not isinstance(image, nib.Nifti1Image) or image.get_data_dtype().kind not in "biuf":
        raise InputError(f"{path}: expected a .nii.gz or .nii file of plain numbers, found {type(image).__name__}")
    if len(image.shape) != 3:
        raise InputError(f"{path}: expected a 3D volume, found shape {image.shape}; give one volume of it")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine)) < 1e-12:
        raise InputError(f"{path}: expected an affine with a voxel size, found a singular one; mend the header")
    with _reading(path):
        array = image.get_fdata(dtype=np.float32, caching="unchanged")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise InputError(f"{path}: expected finite values, found {bad} NaN or infinite voxels")
    return Volume(path, array, image)


def read_map(path: Path) -> Volume:
    """Read an anomaly map.

    Parameters
    ----------
    path : pathlib.Path
        A .nii or .nii.gz file.

    Returns
    -------
    Volume
        The map.

    Raises
    ------
    InputError
        As `read_volume`, and when all voxels have one value.
    """
    volume = read_volume(path)
    if volume.array.size == 0 or volume.array.min() == volume.array.max():
        raise InputError(f"{path}: expected an anomaly map, found a constant or empty volume; was the scan predicted?")
    return volume


def read_mask(path: Path, reference: Volume) -> np.ndarray:
    """Read a mask or labels that lie on the grid of a map.

    Parameters
    ----------
    path : pathlib.Path
        A .nii or .nii.gz file; non-zero voxels are set.
    reference : Volume
        The map.

    Returns
    -------
    numpy.ndarray, (i, j, k), bool
        The mask.

    Raises
    ------
    InputError
        As `read_volume`, and when shape or affine are not the map's.
    """
    volume = read_volume(path)
    if volume.array.shape != reference.array.shape:
        raise InputError(
            f"{path}: expected the shape {reference.array.shape} of {reference.path}, found {volume.array.shape}"
        )
    difference = float(np.abs(volume.image.affine - reference.image.affine).max())
    if difference > _AFFINE_MM:
        raise InputError(
            f"{path}: expected the affine of {reference.path}, found one that differs by up to {difference:.4g}; "
            "resample it to the map's grid"
        )
    return volume.array != 0


def check_output(path: Path, reference: Path) -> None:
    """Refuse a name that is not NIfTI's, or that would overwrite the map.

    Parameters
    ----------
    path : pathlib.Path
        The mask to be written.
    reference : pathlib.Path
        The map.

    Raises
    ------
    InputError
        Before any work is done.
    """
    if not path.name.endswith(_SUFFIXES):
        raise InputError(f"{path}: expected a name that ends in .nii.gz or .nii for the mask")
    if path.resolve() == reference.resolve():
        raise InputError(f"{path}: the mask would overwrite the map; choose another name")


def write_mask(path: Path, mask: np.ndarray, reference: Volume) -> None:
    """Write a mask as uint8 in the map's grid and header; the file appears whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Where to; its folder is made if need be.
    mask : numpy.ndarray, (i, j, k), bool
        The mask, axes as in the map's file.
    reference : Volume
        The map.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    header = reference.image.header.copy()
    header.set_data_dtype(np.uint8)
    header["cal_min"], header["cal_max"] = 0, 1
    content = type(reference.image)(mask.astype(np.uint8), reference.image.affine, header).to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what nibabel raises for a bad file into an InputError that names the file."""
    try:
        yield
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read, it is cut short or not a NIfTI file ({reason})") from error
