"""One scan made ready for a method: scaled, its slices chosen, framed; and results taken back to its own grid."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Self

import numpy as np

from uad_data.errors import InputError
from uad_data.frame import Frame
from uad_data.scaling import check_scaling_rule, scale
from uad_data.scan import Scan
from uad_data.slices import check_slice_rule, select_slices

_DTYPES = ("float16", "float32")


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """How scans become arrays of one size.

    Parameters
    ----------
    size : tuple of int, default: (128, 128)
        ``(h, w)`` makes one item per selected slice, ``(d, h, w)`` one item per scan.
    modalities : tuple of str, default: ("flair",)
        Channels of the arrays, in this order.
    slices : str, default: "fraction:0.25"
        Which slices, see `uad_data.slices.select_slices`. Volumes are kept whole, whatever this says.
    scaling : str, default: "percentile:99"
        Intensity scale, see `uad_data.scaling.scale`.
    dtype : {"float16", "float32"}, default: "float16"
        Type of the stored intensities.
    margin : float, default: 0.05
        Part of the frame left free on each side of the brain, 0 <= margin < 0.5.
    framing : {"brain", "grid"}, default: "brain"
        What fills the frame: the brain's box, or the scan's whole grid (for scans that were prepared to one grid;
        `margin` is not used).

    Raises
    ------
    InputError
        A field is out of range; the message says what was expected and found.
    """

    size: tuple[int, ...] = (128, 128)
    modalities: tuple[str, ...] = ("flair",)
    slices: str = "fraction:0.25"
    scaling: str = "percentile:99"
    dtype: str = "float16"
    margin: float = 0.05
    framing: str = "brain"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "modalities", tuple(self.modalities))
        if len(self.size) not in (2, 3) or not all(isinstance(length, int) and length > 0 for length in self.size):
            raise InputError(f"size: expected 2 or 3 whole numbers above 0, (h, w) or (d, h, w); found {self.size}.")
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise InputError(f"modalities: expected at least one name, each once; found {self.modalities}.")
        if self.dtype not in _DTYPES:
            raise InputError(f"dtype: expected one of {', '.join(_DTYPES)}; found {self.dtype!r}.")
        if not 0 <= self.margin < 0.5:
            raise InputError(f"margin: expected 0 <= margin < 0.5; found {self.margin}.")
        if self.framing not in ("brain", "grid"):
            raise InputError(f"framing: expected brain or grid; found {self.framing!r}.")
        check_slice_rule(self.slices)
        check_scaling_rule(self.scaling)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain JSON types.

        Returns
        -------
        dict
            Field names and values; tuples are lists.
        """
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a spec of what `to_dict` gave.

        Parameters
        ----------
        values : mapping
            Field names and values; fields left out keep their defaults.

        Returns
        -------
        ArraySpec
            The spec.

        Raises
        ------
        InputError
            A field is unknown (the message names the nearest) or out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                nearest = get_close_matches(name, known, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
                raise InputError(f"array setting {name!r} is unknown{hint} Known settings: {', '.join(known)}.")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan as items of one size, and the way back.

    Parameters
    ----------
    image : numpy.ndarray
        ``(n, c, *size)`` in the spec's dtype, 0 outside the brain.
    brain : numpy.ndarray
        ``(n, *size)`` bool.
    lesion : numpy.ndarray or None
        ``(n, *size)`` uint8; None where the scan has no annotation.
    slice_index : numpy.ndarray
        ``(n,)`` the slice along ``d`` that each item shows; −1 for a whole volume.
    brain_voxels : numpy.ndarray
        ``(n,)`` brain voxels of the item, counted on the scan's own grid.
    lesion_voxels : numpy.ndarray
        ``(n,)`` lesion voxels, counted on the scan's own grid, so that a lesion too small to survive resampling never
        passes for healthy tissue; −1 where there is no annotation.
    frame : Frame
        The crop and zoom.
    shape : tuple of int
        ``(d, h, w)`` of the scan's own grid.
    pixel_mm : float
        Edge of a pixel of the frame in mm.
    """

    image: np.ndarray
    brain: np.ndarray
    lesion: np.ndarray | None
    slice_index: np.ndarray
    brain_voxels: np.ndarray
    lesion_voxels: np.ndarray
    frame: Frame
    shape: tuple[int, int, int]
    pixel_mm: float

    @property
    def height(self) -> np.ndarray:
        """``(n,)`` float32: how high each item lies in the scan, see `relative_height`."""
        return relative_height(self.slice_index, self.shape[0])

    def to_native(self, maps: np.ndarray) -> np.ndarray:
        """Take one map per item back to the scan's own grid.

        Parameters
        ----------
        maps : numpy.ndarray
            ``(n, *size)``: float for maps (linear), bool or integer for masks (nearest neighbour).

        Returns
        -------
        numpy.ndarray
            ``(d, h, w)``, float32 for maps, the dtype of `maps` for masks; 0 in slices that were not selected and
            outside the frame.

        Raises
        ------
        InputError
            The shape of `maps` is not ``(n, *size)``.
        """
        return to_native(maps, frame=self.frame, slice_index=self.slice_index, shape=self.shape)


def relative_height(slice_index: np.ndarray, depth: np.ndarray | int) -> np.ndarray:
    """Return how high slices lie in their scans.

    Parameters
    ----------
    slice_index : numpy.ndarray
        ``(n,)`` int, along ``d``; −1 for a whole volume.
    depth : numpy.ndarray or int
        ``d`` of the scan's own grid, of each or of all.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` float32, from 0, the lowest slice of the grid, to 1, the highest; NaN for volumes.
    """
    height = slice_index / np.maximum(np.asarray(depth) - 1, 1)
    return np.where(slice_index < 0, np.nan, height).astype(np.float32)


def prepare_scan(scan: Scan, spec: ArraySpec) -> PreparedScan:
    """Scale a scan, select its slices, crop and resample it around its brain.

    Parameters
    ----------
    scan : Scan
        A scan that has the spec's modalities.
    spec : ArraySpec
        What to make.

    Returns
    -------
    PreparedScan
        The items and the way back to the scan's own grid.

    Raises
    ------
    InputError
        A modality is missing, the brain mask is empty, no slice fits the rule, or a channel cannot be scaled; the
        message names the scan.

    Notes
    -----
    A resampled image voxel is the mean of the *brain* voxels below it, weighted by the interpolation: what lies outside
    the brain, 0 or scalp, does not darken or brighten its edge.
    """
    try:
        return _prepare(scan, spec)
    except InputError as error:
        session = f", session {scan.session!r}" if scan.session else ""
        raise InputError(f"scan of subject {scan.subject!r}{session}: {error}") from error


def to_native(maps: np.ndarray, *, frame: Frame, slice_index: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Take maps of a frame back to the grid of the scan they were made from.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(n, *size)``: float for maps (linear), bool or integer for masks (nearest neighbour).
    frame : Frame
        The scan's frame.
    slice_index : numpy.ndarray
        ``(n,)`` the slice each item shows; not used for volumes.
    shape : tuple of int
        ``(d, h, w)`` of the scan's own grid.

    Returns
    -------
    numpy.ndarray
        ``(d, h, w)``, 0 in slices that were not selected and outside the frame.

    Raises
    ------
    InputError
        The shape of `maps` is not ``(n, *size)``.
    """
    expected = (len(slice_index), *frame.size)
    if maps.shape != expected:
        raise InputError(f"maps to take back: expected shape {expected}, one item per row; found {maps.shape}.")
    native = frame.inverse(maps, order=1 if np.issubdtype(maps.dtype, np.floating) else 0)
    if len(frame.size) == 3:
        return native[0]
    volume = np.zeros(shape, dtype=native.dtype)
    volume[slice_index] = native
    return volume


def _prepare(scan: Scan, spec: ArraySpec) -> PreparedScan:
    """Do the work of `prepare_scan`; errors do not name the scan yet."""
    image = scale(_channels(scan, spec.modalities), scan.brain, spec.scaling)
    box, margin = (scan.brain, spec.margin) if spec.framing == "brain" else (np.ones_like(scan.brain), 0.0)
    frame = Frame.fit(box, spacing=scan.spacing, size=spec.size, margin=margin)
    index = _selected(scan.brain, spec)
    inside = _items(scan.brain, index)
    brain = frame.forward(inside, order=0)
    weight = frame.forward(inside.astype(np.float32))
    total = frame.forward(_items(image, index))
    framed = np.divide(total, weight, out=np.zeros_like(total), where=brain)
    lesion = None if scan.lesion is None else _items(scan.lesion, index)
    return PreparedScan(
        image=np.ascontiguousarray(framed.swapaxes(0, 1), dtype=spec.dtype),
        brain=brain,
        lesion=None if lesion is None else frame.forward(lesion, order=0),
        slice_index=index,
        brain_voxels=_count(inside),
        lesion_voxels=np.full(len(index), -1) if lesion is None else _count(lesion),
        frame=frame,
        shape=scan.brain.shape,
        pixel_mm=frame.step[-1] * scan.spacing[-1],
    )


def _channels(scan: Scan, modalities: tuple[str, ...]) -> np.ndarray:
    """Pick the channels by name, (c, d, h, w)."""
    missing = [name for name in modalities if name not in scan.modalities]
    if missing:
        raise InputError(f"modality {missing[0]!r} is missing: found {', '.join(scan.modalities)}.")
    return scan.image[[scan.modalities.index(name) for name in modalities]]


def _selected(brain: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """Slice of each item, (n,); −1 for the one item of a volume."""
    if len(spec.size) == 3:
        return np.array([-1])
    index = select_slices(brain, spec.slices)
    if not index.size:
        area = int(np.count_nonzero(brain, axis=(1, 2)).max())
        raise InputError(
            f"no slice fits the rule {spec.slices!r}: the largest of {len(brain)} slices has {area} brain pixels. "
            "Choose another rule or leave the scan out."
        )
    return index


def _items(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Items of (..., d, h, w): slices as (..., n, h, w), or the whole volume as (..., 1, d, h, w)."""
    return array[..., None, :, :, :] if index[0] < 0 else array[..., index, :, :]


def _count(masks: np.ndarray) -> np.ndarray:
    """Voxels above 0 of each item, (n,)."""
    return np.count_nonzero(masks.reshape(len(masks), -1), axis=1)
