"""Pictures of slices as SVG: grey values and map as one JPEG, outlines and letters on top, sharp at any size.

Slices are seen as radiologists do: the subject's right is on the left of the picture. Every picture has square
millimetres, however thick the slices are.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours
from skimage.transform import resize

Bounds = tuple[slice, slice, slice]
_MARGIN = 10.0  # mm shown around the brain
_TOLERANCE = 0.3  # mm that a simplified outline may be off
_QUALITY = 80  # of the JPEG
# From transparent to opaque; colours of matplotlib's "inferno" without its black end.
_HEAT = np.array([[87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32)
_OPACITY = (0.0, 0.55, 0.75, 0.85)


@dataclass(frozen=True)
class View:
    """A direction to look from.

    Parameters
    ----------
    name : str
        Of the plane.
    cut, down, across : int
        The axis that is cut, and those that run down and to the right of the picture; 0, 1, 2 are d, h, w.
    ends : tuple of str
        Letters at the picture's left and right edges.
    """

    name: str
    cut: int
    down: int
    across: int
    ends: tuple[str, str]


AXIAL, CORONAL, SAGITTAL = VIEWS = (
    View("axial", 0, 1, 2, ("R", "L")),
    View("coronal", 1, 0, 2, ("R", "L")),
    View("sagittal", 2, 0, 1, ("A", "P")),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Painter:
    """Draws slices of one scan.

    Parameters
    ----------
    image, scores : ndarray, shape (d, h, w)
        The scan and its anomaly map.
    brain : ndarray, shape (d, h, w), bool
        Frames the pictures and sets their grey scale.
    labels : ndarray, shape (d, h, w), int, or None
        Findings to outline, by their numbers; 0 is none.
    spacing : sequence of 3 float
        Voxel size in mm along d, h, w.
    low, high : float
        Map values where the colour begins and where it is strongest.
    """

    image: NDArray
    scores: NDArray
    brain: NDArray[np.bool_]
    labels: NDArray[np.integer] | None
    spacing: Sequence[float]
    low: float
    high: float

    @property
    def views(self) -> list[View]:
        """The planes that are more than a line."""
        return [view for view in VIEWS if min(self.image.shape[view.down], self.image.shape[view.across]) > 1]

    @cached_property
    def window(self) -> Bounds:
        """Bounds of the brain with a margin."""
        guide = self.brain if self.brain.any() else np.ones_like(self.brain)
        bounds = []
        for axis, step in enumerate(self.spacing):
            there = np.flatnonzero(guide.any(axis=tuple({0, 1, 2} - {axis})))
            pad = int(np.ceil(_MARGIN / step))
            bounds.append(slice(max(int(there[0]) - pad, 0), min(int(there[-1]) + 1 + pad, guide.shape[axis])))
        return bounds[0], bounds[1], bounds[2]

    @cached_property
    def greys(self) -> tuple[float, float]:
        """Intensities of black and white."""
        inside = self.image[self.brain] if self.brain.any() else self.image.ravel()
        low, high = np.quantile(inside[:: max(inside.size // 200_000, 1)], (0.005, 0.995))
        return float(low), float(max(high, low + 1e-6))

    def size_mm(self, view: View) -> tuple[float, float]:
        """Return the height and width of a plane's pictures in millimetres."""
        down, across = (
            self.spacing[axis] * (self.window[axis].stop - self.window[axis].start) for axis in (view.down, view.across)
        )
        return down, across

    def draw(
        self, view: View, index: int, *, pixels_per_mm: float, overlay: bool = False, focus: int = 0, label: str = ""
    ) -> str:
        """Draw one slice.

        Parameters
        ----------
        view : View
            The plane.
        index : int
            The slice along ``view.cut``.
        pixels_per_mm : float
            Size of the picture.
        overlay : bool, default: False
            Lay the map over the scan, and outline the findings.
        focus : int, optional
            Number of a finding to outline more strongly.
        label : str, optional
            Text in the lower corner.

        Returns
        -------
        str
            An ``<svg>`` element.
        """
        steps = [self.spacing[axis] for axis in (view.down, view.across)]
        height, width = (max(round(length * pixels_per_mm), 1) for length in self.size_mm(view))
        low, high = self.greys
        grey = _fit((self._plane(self.image, view, index) - low) / (high - low), (height, width))
        picture = grey
        if overlay:
            heat = _fit((self._plane(self.scores, view, index) - self.low) / (self.high - self.low), (height, width))
            picture = _blend(grey, heat)
        jpeg = iio.imwrite(
            "<bytes>",
            np.round(255 * picture).astype(np.uint8),
            extension=".jpg",
            plugin="pillow",
            quality=_QUALITY,
            optimize=True,
        )
        outlines = ""
        if overlay and self.labels is not None:
            plane, scale = self._plane(self.labels, view, index), [step * pixels_per_mm for step in steps]
            for kind, mask in (("outline", plane > 0), ("outline focus", (plane == focus) & (plane > 0))):
                if path := _outline(mask, scale, _TOLERANCE * pixels_per_mm):
                    outlines += f'<path class="{kind}" d="{path}"/>'
        size = max(min(height, width) / 11, 9)
        mark = f'font-size="{size:.0f}" y="{height / 2:.0f}"'
        places = ('x="3"', f'x="{width - 3}" text-anchor="end"')
        letters = "".join(f"<text {mark} {at}>{end}</text>" for at, end in zip(places, view.ends, strict=True))
        caption = f'<text font-size="{size:.0f}" x="4" y="{height - 5}">{label}</text>' if label else ""
        source = base64.b64encode(jpeg).decode("ascii")
        return (
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{view.name} slice {label}">'
            f'<image href="data:image/jpeg;base64,{source}" width="{width}" height="{height}"/>'
            f"{outlines}{letters}{caption}</svg>"
        )

    def _plane(self, volume: NDArray, view: View, index: int) -> NDArray:
        """Cut a slice out; its first row is superior or anterior, its first column right or anterior."""
        box: list[slice | int] = list(self.window)
        box[view.cut] = index
        return volume[tuple(box)][::-1, ::-1]


def heat_css() -> str:
    """Return the colours of the map as a CSS gradient, from low to high."""
    return "linear-gradient(to right, " + ", ".join(f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in _HEAT) + ")"


def largest_slices(labels: NDArray, number: int) -> tuple[int, int, int]:
    """Return, for each axis, the slice in which a finding is largest.

    Parameters
    ----------
    labels : ndarray, shape (d, h, w), int
        From `uad_models.clinical.findings.list_findings`.
    number : int
        Of the finding; it has at least one voxel.

    Returns
    -------
    tuple of int
        Along d, h, w.
    """
    there = labels == number
    d, h, w = (int(np.argmax(there.sum(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3))
    return d, h, w


def spread_slices(brain: NDArray[np.bool_], count: int) -> list[int]:
    """Return axial slices spread evenly over the brain, from the top down.

    Parameters
    ----------
    brain : ndarray, shape (d, h, w), bool
        The brain; where it is empty, the whole scan counts.
    count : int
        At most.

    Returns
    -------
    list of int
        Descending.
    """
    area = np.count_nonzero(brain, axis=(1, 2))
    there = np.flatnonzero(area > 0.05 * area.max()) if area.any() else np.arange(len(brain))
    picked = np.unique(np.round(np.linspace(0, len(there) - 1, min(count, len(there)))).astype(int))
    return [int(there[place]) for place in picked[::-1]]


def _fit(plane: NDArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize to the picture's pixels, within [0, 1]."""
    clipped = np.clip(plane, 0, 1).astype(np.float32)
    return np.clip(resize(clipped, size, order=1, mode="edge", anti_aliasing=True), 0, 1)


def _blend(grey: NDArray[np.float32], heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay colours over grey values, (h, w, 3)."""
    places = np.linspace(0, 1, len(_HEAT))
    colour = np.stack([np.interp(heat, places, channel) for channel in _HEAT.T / 255], axis=-1)
    opacity = np.interp(heat, places, _OPACITY)[..., None]
    return (grey[..., None] * (1 - opacity) + colour * opacity).astype(np.float32)


def _outline(mask: NDArray[np.bool_], scale: Sequence[float], tolerance: float) -> str:
    """Trace a mask as SVG path data in pixels."""
    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        # Voxel centres lie half a voxel inside; the padding is one voxel.
        points = approximate_polygon((contour - 0.5) * scale, tolerance)
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for y, x in points[:-1]) + "z")
    return "".join(parts)
