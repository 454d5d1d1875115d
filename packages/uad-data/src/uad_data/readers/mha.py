"""MetaImage files (``.mha``), read through SimpleITK and turned to RAS+."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.readers.itk import affine_to_ras, simple_itk
from uad_data.readers.oriented import ras_affine, to_ras, write_nifti

SUFFIXES = (".mha",)


def handles(source: str) -> bool:
    """Tell whether the name is one of a MetaImage file."""
    return source.lower().endswith(SUFFIXES)


def files(source: str) -> list[Path]:
    """Give the one file; InputError if it is missing."""
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: expected a MetaImage file, found none at this place; check the path")
    return [path]


def read(source: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Read voxels ``(d, h, w)`` in RAS+ and their affine."""
    itk = simple_itk(source)
    header = _open(source)
    try:
        image = header.Execute()
    except RuntimeError as error:
        raise _broken(source, error) from error
    return to_ras(itk.GetArrayFromImage(image).transpose(2, 1, 0), _affine(header))


def read_affine(source: str) -> NDArray[np.float64]:
    """Read the affine that `read` would give, from the header alone."""
    header = _open(source)
    return ras_affine(header.GetSize(), _affine(header))


def write_like(path_out: Path, array: NDArray, reference: str) -> None:
    """Write ``(d, h, w)`` as NIfTI on the reference's grid."""
    header = _open(reference)
    write_nifti(path_out, array, shape=header.GetSize(), affine=_affine(header), reference=reference)


def _open(source: str) -> Any:
    """Read the header; the reader that holds it can then read the voxels."""
    (path,) = files(source)
    reader = simple_itk(source).ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _broken(source, error) from error
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path}: expected three dimensions and one value per voxel, found {reader.GetDimension()} dimensions "
            f"and {reader.GetNumberOfComponents()} values; write each volume to a file of its own"
        )
    return reader


def _affine(header: Any) -> NDArray[np.float64]:
    """Give the affine of the file's own voxel order."""
    direction = np.array(header.GetDirection()).reshape(3, 3)
    return affine_to_ras(np.array(header.GetOrigin()), direction * np.array(header.GetSpacing()))


def _broken(source: str, error: BaseException) -> InputError:
    """Word a file that cannot be decoded."""
    reason = str(error).strip().splitlines()[-1]
    return InputError(
        f"{source}: expected a whole MetaImage file, found one that cannot be read ({reason}); "
        "it may be cut short: copy or download it again"
    )
