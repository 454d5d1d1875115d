"""One small picture per scan: three slices side by side, and the outlines of the brain and of the template's brain.

The slices are one greyscale JPEG; the outlines are SVG paths on top of it, which stay sharp at any size and can be
switched off. Slices are seen as radiologists do: the person's right is on the left, the nose points up or left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours
from skimage.transform import resize

from uad_data.errors import InputError
from uad_data.preparation.resampling import Shape, resample_labels
from uad_data.preparation.templates import load_template
from uad_data.readers import read_labels, read_volume

UNITS_PER_MM = 2
"""Outlines are written in whole half millimetres."""
_MARGIN = 12.0  # mm shown around the brain
_GAP = 4.0  # mm between two slices
_TOLERANCE = 0.5  # mm that a simplified outline may be off
_QUALITY = 72  # of the JPEG
# Name, the axis that is cut, and the axes that run down and to the right of the picture.
_VIEWS = (("axial", 0, 1, 2), ("coronal", 1, 0, 2), ("sagittal", 2, 0, 1))

Bounds = tuple[slice, ...]


@dataclass(frozen=True)
class Mosaic:
    """A scan's picture.

    Parameters
    ----------
    jpeg : bytes
        The slices, greyscale, one pixel per mm.
    width, height : int
        Of the picture in half millimetres, the unit of the outlines.
    brain, template : str
        SVG path data; empty for none.
    marks : tuple of (int, int)
        Where the person's right is: the left edge and the middle of each slice that shows it.
    """

    jpeg: bytes
    width: int
    height: int
    brain: str
    template: str
    marks: tuple[tuple[int, int], ...]


def draw_scan(image: str, brain: str, template: str | None) -> Mosaic:
    """Draw one prepared scan.

    Parameters
    ----------
    image, brain : str
        Files on one grid; an empty name for no brain mask.
    template : str or None
        Name or file of the template that the scan was registered to. The slices go through the middle of its brain,
        the same in all scans; otherwise through the middle of the scan's own.

    Returns
    -------
    Mosaic

    Raises
    ------
    InputError
        A file cannot be read, or the two are not on one grid.
    """
    volume, affine = read_volume(image)
    mask = read_labels(brain) > 0 if brain else np.zeros(volume.shape, bool)
    if mask.shape != volume.shape:
        raise InputError(f"{brain}: expected the shape {volume.shape} of {image}, found {mask.shape}; prepare it again")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    target = None if template is None else template_on_grid(template, volume.shape, tuple(affine.ravel()))
    return mosaic(volume, mask, spacing, target)


@lru_cache(maxsize=4)
def template_on_grid(template: str, shape: Shape, affine: tuple[float, ...]) -> NDArray[np.bool_] | None:
    """Give the template's brain on a prepared grid.

    Parameters
    ----------
    template : str
        As `uad_data.preparation.templates.load_template` takes it.
    shape : tuple of int
        ``(d, h, w)`` of the grid.
    affine : tuple of 16 float
        Its affine, row by row.

    Returns
    -------
    ndarray, shape `shape`, bool, or None
        None where the template is a file that is no longer there, or its brain lies outside of the grid.
    """
    try:
        found = load_template(template)
    except InputError:
        return None
    matrix = np.array(affine).reshape(4, 4)
    brain = resample_labels(found.brain, found.affine, shape=shape, to=matrix) > 0
    return brain if brain.any() else None


def mosaic(
    volume: NDArray, brain: NDArray[np.bool_], spacing: Sequence[float], template: NDArray[np.bool_] | None
) -> Mosaic:
    """Put the three slices side by side and trace the masks.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        Intensities.
    brain : ndarray, shape (d, h, w), bool
        Brain; may be empty.
    spacing : sequence of 3 float
        Voxel size in mm along d, h, w.
    template : ndarray, shape (d, h, w), bool, or None
        The template's brain.

    Returns
    -------
    Mosaic
    """
    guide = brain if template is None else template
    if not guide.any():
        guide = np.ones_like(brain)
    window = _window(guide | brain, spacing)
    middle = [int((bounds.start + bounds.stop) // 2) for bounds in _window(guide, spacing, margin=0)]
    inside = volume[brain] if brain.any() else volume
    black, white = np.quantile(inside[:: max(inside.size // 200_000, 1)], (0.005, 0.995))
    views = [view for view in _VIEWS if min(volume.shape[view[2]], volume.shape[view[3]]) > 1]
    sizes = [[_length(window[axis], spacing[axis]) for axis in view[2:]] for view in views]
    height = max(rows for rows, _ in sizes)
    width = sum(columns for _, columns in sizes) + int(_GAP) * (len(sizes) - 1)
    canvas = np.zeros((height, width), np.uint8)
    paths: dict[str, list[str]] = {"brain": [], "template": []}
    marks, left = [], 0
    for (name, cut, down, across), (rows, columns) in zip(views, sizes, strict=True):
        top = (height - rows) // 2
        grey = np.clip((_plane(volume, cut, middle[cut], window) - black) / max(white - black, 1e-12), 0, 1)
        fine = resize(grey.astype(np.float32), (rows, columns), order=1, mode="edge", anti_aliasing=True)
        canvas[top : top + rows, left : left + columns] = np.round(255 * fine)
        for key, mask in (("brain", brain), ("template", template)):
            if mask is not None:
                plane = _plane(mask, cut, middle[cut], window)
                paths[key].append(_outline(plane, (spacing[down], spacing[across]), (top, left)))
        if name != "sagittal":
            marks.append((UNITS_PER_MM * left, UNITS_PER_MM * height // 2))
        left += columns + int(_GAP)
    return Mosaic(
        jpeg=iio.imwrite("<bytes>", canvas, extension=".jpg", plugin="pillow", quality=_QUALITY, optimize=True),
        width=UNITS_PER_MM * width,
        height=UNITS_PER_MM * height,
        brain="".join(paths["brain"]),
        template="".join(paths["template"]),
        marks=tuple(marks),
    )


def _window(mask: NDArray[np.bool_], spacing: Sequence[float], margin: float = _MARGIN) -> Bounds:
    """Bounds of a mask along each axis, with a margin in mm."""
    bounds = []
    for axis, step in enumerate(spacing):
        there = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        pad = int(np.ceil(margin / step))
        bounds.append(slice(max(int(there[0]) - pad, 0), min(int(there[-1]) + 1 + pad, mask.shape[axis])))
    return tuple(bounds)


def _length(bounds: slice, step: float) -> int:
    """Pixels of 1 mm along an axis."""
    return max(round((bounds.stop - bounds.start) * step), 1)


def _plane(volume: NDArray, cut: int, index: int, window: Bounds) -> NDArray:
    """Cut a slice out; its first row is superior or anterior, its first column right or anterior."""
    box: list[slice | int] = list(window)
    box[cut] = index
    return volume[tuple(box)][::-1, ::-1]


def _outline(mask: NDArray[np.bool_], spacing: tuple[float, float], corner: tuple[int, int]) -> str:
    """Trace a mask as SVG path data, placed at a corner in mm."""
    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        # Voxel centres lie half a voxel inside; the padding is one voxel.
        points = approximate_polygon((contour - 0.5) * spacing, _TOLERANCE) + corner
        whole = np.round(UNITS_PER_MM * points).astype(int)[:, ::-1]
        steps = np.diff(whole, axis=0)
        steps = steps[steps.any(axis=1)][:-1]
        if len(steps) > 1:
            start = "{} {}".format(*whole[0])
            parts.append(f"M{start}l" + " ".join(f"{x} {y}" for x, y in steps) + "z")
    return "".join(parts)
