"""Axial slices kept as pictures: one file, a multi-page TIFF, or one file per slice.

Pictures carry no orientation. They are taken as radiologists show them: rows run from anterior to posterior,
columns from the subject's right to the left, slices from inferior to superior, and a pixel measures 1 mm. They are
flipped into RAS+ on reading and flipped back when a map is written.
"""

import fnmatch
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray

from uad_data.atomic import atomic_path
from uad_data.errors import InputError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_TIFF = (".tif", ".tiff")
_CHANNEL = re.compile(r"^(?P<name>.+)#(?P<channel>\d+)$")

# A mask with more grey values than this is a smoothed or lossily compressed one.
_MOST_CLASSES = 32


def handles(source: str) -> bool:
    """Tell whether the name is one of a picture or a stack of them."""
    return _split(source)[0].lower().endswith(SUFFIXES)


def files(source: str) -> list[Path]:
    """List the pictures in natural order; InputError if there is none."""
    path = Path(_split(source)[0])
    if "*" not in path.name:
        found = [path] if path.is_file() else []
    elif path.parent.is_dir():
        names = (entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
        found = [path.with_name(name) for name in sorted(fnmatch.filter(names, path.name), key=natural_key)]
    else:
        found = []
    if not found:
        raise InputError(f"{path}: expected a picture, found none at this place; check the path")
    return found


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``slice_2`` comes before ``slice_10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def read(source: str) -> tuple[NDArray, NDArray[np.float64]]:
    """Read pixels ``(d, h, w)``, turned to RAS+, and the identity as their affine."""
    return _flip(_stack(source)), np.eye(4)


def read_affine(source: str) -> NDArray[np.float64]:
    """Give the identity: pixels count as 1 mm."""
    files(source)
    return np.eye(4)


def classes(labels: NDArray[np.uint8], source: str) -> NDArray[np.uint8]:
    """Turn a black-and-white mask (0, 255) into 0 and 1; InputError for one with many grey values."""
    found = np.unique(labels)
    if found.size > _MOST_CLASSES:
        raise InputError(
            f"{source}: expected a mask of a few labels, found {found.size} grey values; "
            "save masks without smoothing, as PNG or TIFF"
        )
    return labels // 255 if set(found.tolist()) <= {0, 255} else labels


def write_like(path_out: Path, array: NDArray, reference: str) -> None:
    """Flip ``(d, h, w)`` back to picture order and write it as a TIFF with one page per slice."""
    if not path_out.name.lower().endswith(_TIFF):
        raise InputError(f"{path_out}: expected a name ending in .tif; maps of pictures are written as TIFF")
    shape = _stack(reference).shape
    if array.shape != shape:
        raise InputError(f"{path_out}: expected the shape {shape} of {reference}, found {array.shape}")
    with atomic_path(path_out) as temporary:
        tifffile.imwrite(temporary, _flip(array), photometric="minisblack", compression="zlib", metadata=None)


def _flip(array: NDArray) -> NDArray:
    """Swap picture order and RAS+ order; its own inverse."""
    return array[:, ::-1, ::-1]


def _split(source: str) -> tuple[str, int | None]:
    """Split ``name#k`` into the name and the channel."""
    match = _CHANNEL.match(source)
    return (match["name"], int(match["channel"])) if match else (source, None)


def _stack(source: str) -> NDArray:
    """Read every slice, in picture order, (d, rows, columns)."""
    channel = _split(source)[1]
    paths = files(source)
    slices = [(path, _one_channel(page, channel, path)) for path in paths for page in _pages(path)]
    for path, page in slices[1:]:
        if page.shape != slices[0][1].shape:
            raise InputError(
                f"{path}: expected the {slices[0][1].shape} pixels of {slices[0][0]}, found {page.shape}; "
                "slices of one stack have one size"
            )
    return np.stack([page for _, page in slices])


def _pages(path: Path) -> list[NDArray]:
    """Read a picture's pages, each (rows, columns) or (rows, columns, channels)."""
    try:
        if path.suffix.lower() in _TIFF:
            return _tiff_pages(path)
        return [iio.imread(path, plugin="pillow")]
    # Decoders raise whatever a garbled byte leads them to: OSError, ValueError, SyntaxError, struct.error.
    except Exception as error:
        raise InputError(
            f"{path}: expected a picture, found a file that cannot be read ({type(error).__name__}: {error}); "
            "it may be cut short: copy or download it again"
        ) from error


def _tiff_pages(path: Path) -> list[NDArray]:
    """Read a TIFF's pages, channels last."""
    with tifffile.TiffFile(path) as tiff:
        pages = [(page.asarray(), page.axes) for page in tiff.pages]
    return [np.moveaxis(array, 0, -1) if axes.startswith("S") else array for array, axes in pages]


def _one_channel(page: NDArray, channel: int | None, path: Path) -> NDArray:
    """Take the asked channel; without one, the grey value that all colours share."""
    colours = page[..., None] if page.ndim == 2 else page
    if channel is not None:
        if channel >= colours.shape[-1]:
            raise InputError(f"{path}: expected a channel #{channel}, found {colours.shape[-1]} channels, from #0 on")
        return colours[..., channel]
    # A second or fourth channel is transparency.
    grey = colours[..., :3] if colours.shape[-1] >= 3 else colours[..., :1]
    if (grey != grey[..., :1]).any():
        raise InputError(
            f"{path}: expected grey values, found {colours.shape[-1]} different channels; name one: {path.name}#0"
        )
    return grey[..., 0]
