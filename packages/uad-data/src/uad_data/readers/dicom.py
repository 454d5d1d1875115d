"""A DICOM series: a folder of slices, one file each, read through SimpleITK and turned to RAS+.

A folder that holds several series needs the one that is meant: ``folder#<SeriesInstanceUID>``. Intensities are rescaled
as the files say (CT: Hounsfield units). Slices are stacked by their place in the patient; a tilted gantry and uneven
gaps are refused, because a stack of such slices would have a wrong shape.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.readers.itk import affine_to_ras, simple_itk
from uad_data.readers.oriented import ras_affine, to_ras, write_nifti
from uad_data.readers.pictures import natural_key

_SERIES = re.compile(r"^(?P<folder>.+)#(?P<uid>[\d.]+)$")
# Largest slant of the stack against the slices' normal, and of a gap against the others, that rounding explains.
_MOST_TILT_DEGREES = 0.5
_MOST_UNEVEN = 0.05


@dataclass(frozen=True, eq=False)
class Slice:
    """What one file's header says.

    Parameters
    ----------
    path : Path
        The file.
    tags : dict of str to str
        Values by name: series, description, modality, patient, study, date, number; empty where the header is.
    size : tuple of int
        Columns, rows, frames.
    position : ndarray, shape (3,) or None
        Of the first pixel, mm, towards left, back and head; None where the header does not say.
    axes : ndarray, shape (3, 3)
        Unit vectors along columns, rows and their normal, as columns.
    spacing : ndarray, shape (3,)
        mm along columns and rows, and the slice's thickness.
    """

    path: Path
    tags: dict[str, str]
    size: tuple[int, ...]
    position: NDArray[np.float64] | None
    axes: NDArray[np.float64]
    spacing: NDArray[np.float64]


_TAGS = {
    "series": "0020|000e",
    "description": "0008|103e",
    "modality": "0008|0060",
    "patient": "0010|0020",
    "study": "0020|000d",
    "date": "0008|0020",
    "number": "0020|0011",
}


def handles(source: str) -> bool:
    """Tell whether this is a folder, or a series in one."""
    return Path(_split(source)[0]).is_dir()


def files(source: str) -> list[Path]:
    """List the series' files, in the order of their names; InputError if there is none."""
    folder, uid = _split(source)
    found = dicom_files(Path(folder))
    if uid:
        found = [slice_.path for slice_ in map(read_slice, found) if slice_.tags["series"] == uid]
    if not found:
        raise InputError(f"{source}: expected a folder of DICOM slices, found none in it; check the path")
    return found


def read(source: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Read voxels ``(d, h, w)`` in RAS+ and their affine."""
    slices, affine = _stack(source)
    itk = simple_itk(source)
    reader = itk.ImageSeriesReader()
    reader.SetFileNames([str(slice_.path) for slice_ in slices])
    reader.SetOutputPixelType(itk.sitkFloat32)
    try:
        array = itk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _broken(source, error) from error
    return to_ras(array.transpose(2, 1, 0), affine)


def read_affine(source: str) -> NDArray[np.float64]:
    """Read the affine that `read` would give, from the headers alone."""
    slices, affine = _stack(source)
    return ras_affine(_shape(slices), affine)


def write_like(path_out: Path, array: NDArray, reference: str) -> None:
    """Write ``(d, h, w)`` as NIfTI on the series' grid."""
    slices, affine = _stack(reference)
    write_nifti(path_out, array, shape=_shape(slices), affine=affine, reference=reference)


def dicom_files(folder: Path) -> list[Path]:
    """List a folder's own DICOM files, whatever their ending, in natural order.

    Parameters
    ----------
    folder : Path
        Files in folders below it are not listed.

    Returns
    -------
    list of Path
    """
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and _is_dicom(path)]
    return sorted(found, key=lambda path: natural_key(path.name))


def read_slice(path: Path) -> Slice:
    """Read one file's header.

    Parameters
    ----------
    path : Path
        A DICOM file.

    Returns
    -------
    Slice

    Raises
    ------
    InputError
        SimpleITK is not installed, or the header cannot be read.
    """
    reader = simple_itk(str(path)).ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _broken(str(path), error) from error
    known = set(reader.GetMetaDataKeys())
    tags = {name: reader.GetMetaData(key).strip("\0 ") if key in known else "" for name, key in _TAGS.items()}
    placed = {"0020|0032", "0020|0037"} <= known
    thickness = float(reader.GetMetaData("0018|0050").strip("\0 ") or 1) if "0018|0050" in known else 1.0
    return Slice(
        path=path,
        tags=tags,
        size=tuple(reader.GetSize()),
        position=np.array(reader.GetOrigin()) if placed else None,
        axes=np.array(reader.GetDirection()).reshape(3, 3),
        spacing=np.array([*reader.GetSpacing()[:2], thickness]),
    )


def _split(source: str) -> tuple[str, str]:
    """Split ``folder#uid`` into the folder and the series."""
    match = _SERIES.match(source)
    return (match["folder"], match["uid"]) if match else (source, "")


def _is_dicom(path: Path) -> bool:
    """Tell DICOM files by their magic word."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _stack(source: str) -> tuple[list[Slice], NDArray[np.float64]]:
    """Order the series' slices from the first to the last and give the affine of the stack."""
    slices = [read_slice(path) for path in files(source)]
    _check_one_series(source, slices)
    _check_alike(slices)
    axes = slices[0].axes
    positions = np.array([slice_.position for slice_ in slices])
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    positions = positions[order]
    step = axes[:, 2] * slices[0].spacing[2]
    if len(slices) > 1:
        _check_steps(source, np.diff(positions, axis=0), axes[:, 2])
        step = (positions[-1] - positions[0]) / (len(slices) - 1)
    columns = np.column_stack([axes[:, :2] * slices[0].spacing[:2], step])
    return [slices[k] for k in order], affine_to_ras(positions[0], columns)


def _check_one_series(source: str, slices: list[Slice]) -> None:
    """Refuse a folder of several series."""
    series: dict[str, list[Slice]] = {}
    for slice_ in slices:
        series.setdefault(slice_.tags["series"], []).append(slice_)
    if len(series) > 1:
        named = "; ".join(
            f"{own[0].tags['description'] or 'without description'} ({len(own)} slices): {source}#{uid}"
            for uid, own in series.items()
        )
        raise InputError(f"{source}: expected one DICOM series, found {len(series)}; name one of them: {named}")


def _check_alike(slices: list[Slice]) -> None:
    """Refuse slices that cannot be stacked."""
    for slice_ in slices:
        if slice_.size[2:] not in ((), (1,)):
            raise InputError(
                f"{slice_.path}: expected one slice per file, found {slice_.size[2]} frames; convert it with dcm2niix"
            )
        if slice_.position is None:
            raise InputError(
                f"{slice_.path}: expected the slice's position and orientation in its header, found none; "
                "move pictures of reports away, and convert enhanced DICOM with dcm2niix"
            )
        if slice_.size[:2] != slices[0].size[:2] or not np.allclose(slice_.axes, slices[0].axes, atol=1e-3):
            raise InputError(
                f"{slice_.path}: expected the size and the orientation of {slices[0].path.name}, found another; "
                "move localisers out of the folder"
            )


def _check_steps(source: str, steps: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    """Refuse a slanted stack and uneven gaps."""
    gaps = steps @ normal
    if gaps.min() < 1e-3:
        raise InputError(
            f"{source}: expected one slice at every place, found several at one; split phases or echoes into series"
        )
    total = steps.sum(axis=0)
    slant = np.degrees(np.arctan2(np.linalg.norm(total - normal * (total @ normal)), total @ normal))
    if slant > _MOST_TILT_DEGREES:
        raise InputError(
            f"{source}: expected slices stacked at right angles, found a gantry tilt of {slant:.1f} degrees; "
            "straighten the series with dcm2niix, and index its NIfTI file"
        )
    usual = np.median(gaps)
    if np.abs(gaps - usual).max() > _MOST_UNEVEN * usual:
        raise InputError(
            f"{source}: expected slices at even distances, found gaps from {gaps.min():.2f} to {gaps.max():.2f} mm; "
            "a slice may be missing: copy the series again, or resample it with dcm2niix"
        )


def _shape(slices: list[Slice]) -> tuple[int, int, int]:
    """Give columns, rows and slices."""
    return (slices[0].size[0], slices[0].size[1], len(slices))


def _broken(source: str, error: Any) -> InputError:
    """Word a file that cannot be decoded."""
    reason = str(error).strip().splitlines()[-1]
    return InputError(
        f"{source}: expected DICOM, found what cannot be read ({reason}); it may be cut short: copy it again"
    )
