"""NIfTI files, read through nibabel in any orientation and turned to RAS+."""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from uad_data.atomic import atomic_path
from uad_data.errors import InputError

SUFFIXES = (".nii", ".nii.gz")

# What nibabel and the gzip module raise for files that are cut short, garbled or of another kind.
_BROKEN = (EOFError, OSError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError)


def handles(source: str) -> bool:
    """Tell whether the name is one of a NIfTI file."""
    return source.lower().endswith(SUFFIXES)


def files(source: str) -> list[Path]:
    """Give the one file; InputError if it is missing."""
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: expected a NIfTI file, found none at this place; check the path")
    return [path]


def read(source: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Read voxels ``(d, h, w)`` in RAS+ and their affine."""
    image = _open(source)
    orientation = _orientation(image, source)
    try:
        array = _voxels(image, source)
    except _BROKEN as error:
        raise _broken(source, error) from error
    ras = nib.apply_orientation(array.reshape(array.shape[:3]), orientation)
    return ras.transpose(2, 1, 0), _ras_affine(image, orientation)


def read_affine(source: str) -> NDArray[np.float64]:
    """Read the affine that `read` would give, from the header alone."""
    image = _open(source)
    return _ras_affine(image, _orientation(image, source))


def write_like(path_out: Path, array: NDArray, reference: str) -> None:
    """Turn ``(d, h, w)`` back to the reference's grid and write it with the reference's header."""
    if not handles(path_out.name):
        raise InputError(f"{path_out}: expected a name ending in .nii or .nii.gz, as the reference {reference} has")
    image = _open(reference)
    orientation = _orientation(image, reference)
    shape = tuple(image.shape[axis] for axis in np.argsort(orientation[:, 0])[::-1])
    if array.shape != shape:
        raise InputError(f"{path_out}: expected the shape {shape} of {reference}, found {array.shape}")
    to_native = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
    native = nib.apply_orientation(array.transpose(2, 1, 0), to_native)
    header = image.header.copy()
    header.set_data_dtype(array.dtype)
    # The reference's display window would hide a map with another range.
    header["cal_min"] = header["cal_max"] = 0
    with atomic_path(path_out) as temporary:
        nib.save(type(image)(native, image.affine, header), temporary)


def _open(source: str) -> nib.Nifti1Image:
    """Open the header; voxels stay on disk."""
    (path,) = files(source)
    try:
        image = nib.load(path)
    except _BROKEN as error:
        raise _broken(source, error) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI file, found {type(image).__name__}; convert it to NIfTI")
    if len(image.shape) < 3 or any(size != 1 for size in image.shape[3:]):
        raise InputError(
            f"{path}: expected three dimensions, found {len(image.shape)}: shape {image.shape}; "
            "write each volume to a file of its own"
        )
    if image.get_data_dtype().kind not in "biuf":
        raise InputError(f"{path}: expected one real number per voxel, found {image.get_data_dtype()}")
    return image


def _voxels(image: nib.Nifti1Image, source: str) -> NDArray:
    """Read the voxels, and a compressed file to its end, where the checksum stands."""
    if not source.lower().endswith(".gz"):
        return np.asanyarray(image.dataobj)
    with gzip.open(source) as stream:
        array = np.asanyarray(type(image).from_stream(stream).dataobj)
        stream.read()
    return array


def _orientation(image: nib.Nifti1Image, source: str) -> NDArray[np.float64]:
    """Give nibabel's orientation array: which RAS+ axis each file axis runs along, and which way."""
    usable = np.isfinite(image.affine).all() and abs(np.linalg.det(image.affine[:3, :3])) > 0
    orientation = nib.io_orientation(image.affine) if usable else None
    if orientation is None or not np.isfinite(orientation).all():
        raise InputError(
            f"{source}: expected an affine with three axes, found {image.affine[:3].tolist()}; repair the header"
        )
    return orientation


def _ras_affine(image: nib.Nifti1Image, orientation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the affine of the reoriented array."""
    return image.affine @ nib.orientations.inv_ornt_aff(orientation, image.shape[:3])


def _broken(source: str, error: BaseException) -> InputError:
    """Word a file that cannot be decoded."""
    return InputError(
        f"{source}: expected a whole NIfTI file, found one that cannot be read ({type(error).__name__}: {error}); "
        "it may be cut short: copy or download it again"
    )
