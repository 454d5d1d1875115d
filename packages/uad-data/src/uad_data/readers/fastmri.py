"""fastMRI volumes (``.h5``) and the boxes of fastMRI+ (``brain.csv#<volume>.h5``).

The volumes carry no orientation. fastMRI+ drew its boxes on slices turned upside down, as radiologists show them: rows
from anterior to posterior. So the stored rows run from posterior to anterior; columns are taken from the subject's
right to the left and slices from inferior to superior, as for pictures. Pixel sizes come from the header.
"""

import re
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.readers.oriented import ras_affine, to_ras, write_nifti

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py

_VOLUME = "reconstruction_rss"
_BOXES = re.compile(r"^(?P<table>.+\.csv)#(?P<volume>.+\.h5)$", re.IGNORECASE)
BOX_COLUMNS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")
# Labels that describe no lesion.
NORMAL = ("Normal for age", "Normal variant")


def handles(source: str) -> bool:
    """Tell whether the name is one of a volume, or of a volume's boxes."""
    return source.lower().endswith(".h5")


def files(source: str) -> list[Path]:
    """Give the volume, and the table of boxes before it; InputError if one is missing."""
    table, volume = _split(source)
    found = [path for path in (table, volume) if path is not None]
    for path in found:
        if not path.is_file():
            raise InputError(f"{path}: expected a file of fastMRI or fastMRI+, found none at this place")
    return found


def read(source: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Read a volume, or draw its boxes, ``(d, h, w)`` in RAS+, with the affine."""
    table, volume = _split(source)
    files(source)
    with _open(volume) as file:
        affine, shape = _affine(file), _shape(file)
        array = np.asarray(file[_VOLUME]) if table is None else _draw(table, volume, shape)
    return to_ras(array.transpose(2, 1, 0), affine)


def read_affine(source: str) -> NDArray[np.float64]:
    """Read the affine that `read` would give, from the header alone."""
    with _open(_split(source)[1]) as file:
        return ras_affine(_shape(file)[::-1], _affine(file))


def write_like(path_out: Path, array: NDArray, reference: str) -> None:
    """Write ``(d, h, w)`` as NIfTI on the reference's grid."""
    with _open(_split(reference)[1]) as file:
        affine, shape = _affine(file), _shape(file)[::-1]
    write_nifti(path_out, array, shape=shape, affine=affine, reference=reference)


def read_boxes(path: Path) -> pd.DataFrame:
    """Read the table of fastMRI+.

    Parameters
    ----------
    path : Path
        ``brain.csv``.

    Returns
    -------
    DataFrame
        The columns of `BOX_COLUMNS`; slice and box as numbers, NaN where nothing stands.

    Raises
    ------
    InputError
        It is no such table.
    """
    try:
        table = pd.read_csv(path, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: expected the table of fastMRI+, found none ({error})") from error
    missing = [column for column in BOX_COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: expected the columns {', '.join(BOX_COLUMNS)}, found no {', '.join(missing)}")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in ("slice", "x", "y", "width", "height")}
    return table[list(BOX_COLUMNS)].assign(**numbers)


def _split(source: str) -> tuple[Path | None, Path]:
    """Split ``table.csv#volume.h5`` into the table and the volume, which is named from the table's folder."""
    match = _BOXES.match(source)
    return (Path(match["table"]), Path(match["table"]).parent / match["volume"]) if match else (None, Path(source))


@contextmanager
def _open(path: Path) -> "Iterator[h5py.File]":
    """Open a volume's file."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path}: expected the package h5py, which reads fastMRI's files, found none; install it: pip install h5py"
        ) from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: expected an HDF5 file, found one that cannot be read ({error})") from error
    with file:
        if _VOLUME not in file or file[_VOLUME].ndim != 3:
            raise InputError(
                f"{path}: expected the images {_VOLUME} (slices, rows, columns), found {', '.join(file) or 'nothing'}; "
                "the test volumes hold no images"
            )
        yield file


def _shape(file: "h5py.File") -> tuple[int, int, int]:
    """Give slices, rows and columns."""
    slices, rows, columns = file[_VOLUME].shape
    return slices, rows, columns


def _affine(file: "h5py.File") -> NDArray[np.float64]:
    """Give the affine of (columns, rows, slices): pixel sizes of the reconstructed space, 1 mm without header."""
    spacing = [1.0, 1.0, 1.0]
    if "ismrmrd_header" in file:
        header = ElementTree.fromstring(file["ismrmrd_header"][()])
        space = header.find(".//{*}reconSpace")
        if space is not None:
            view, matrix = ({axis: float(space.findtext(f"{{*}}{what}/{{*}}{axis}", "0")) for axis in "xyz"}
                            for what in ("fieldOfView_mm", "matrixSize"))  # fmt: skip
            # The field of view's z is one slice's thickness: the slices were measured one by one.
            sizes = (view["x"] / (matrix["x"] or 1), view["y"] / (matrix["y"] or 1), view["z"])
            spacing = [size if size > 0 else 1.0 for size in sizes]
    return np.diag([-spacing[0], spacing[1], spacing[2], 1.0])


def _draw(table: Path, volume: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Fill the boxes, (slices, rows, columns); y counts from the last stored row."""
    boxes = read_boxes(table)
    boxes = boxes[(boxes["file"] == volume.stem) & ~boxes["label"].isin(NORMAL)].dropna(subset=["x", "y", "width"])
    mask = np.zeros(shape, np.uint8)
    for number, x, y, width, height in boxes[["slice", "x", "y", "width", "height"]].astype(int).to_numpy():
        if not 0 <= number < shape[0]:
            raise InputError(f"{table}: {volume.stem}: expected slices 0 to {shape[0] - 1}, found {number}")
        mask[number, ::-1][max(y, 0) : y + height, max(x, 0) : x + width] = 1
    return mask
