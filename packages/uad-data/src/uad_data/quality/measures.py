"""What one prepared scan is measured by."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from uad_data.errors import InputError
from uad_data.preparation.resampling import voxel_map
from uad_data.preparation.way_back import WayBack

# Median absolute deviation of noise with standard deviation 1: Gaussian, and the magnitude (Rayleigh) of two.
_MAD_GAUSSIAN, _MAD_RAYLEIGH = 0.67449, 0.44845
_CORNER = 0.1  # side of the cubes in the grid's corners that are looked at for air
_BORDER_SHARE = 0.001  # of the brain in the scan's outermost voxels; a brainstem alone, cut off below, is less
_SIZE_RANGE = (0.75, 1.33)  # of a brain's side to the template's: volumes of 0.42 to 2.4 times its own

Measures = dict[str, Any]


def measure(
    image: NDArray,
    brain: NDArray[np.bool_],
    *,
    spacing: Sequence[float],
    template_brain: NDArray[np.bool_] | None = None,
    way_back: WayBack | None = None,
) -> Measures:
    """Measure a prepared scan: is the brain where and as large as it should be, and how noisy is the image.

    Parameters
    ----------
    image : ndarray, shape (d, h, w) or (c, d, h, w)
        Intensities in any unit. Of several sequences the worst one counts.
    brain : ndarray, shape (d, h, w), bool
        The brain's voxels.
    spacing : sequence of 3 float
        Voxel size in mm along d, h, w.
    template_brain : ndarray, shape (d, h, w), bool, optional
        The brain of the template that the scan was registered to, on the scan's grid.
    way_back : WayBack, optional
        How the grid and the raw scan's lie to one another: where the field of view ended, and how much an affine
        registration stretched the brain. By default the grid is the raw scan's own.

    Returns
    -------
    dict
        All values can be written as JSON; None where there is nothing to measure.

        ``dice_to_template``
            Overlap of brain and template brain, 0 to 1, with the brain at the template's size: shape and place count,
            and volume is a measure of its own. None without template.
        ``brain_ml``
            Volume of the brain in the person, in ml: what the grid holds of it, not stretched.
        ``snr``
            Mean of the brain over the standard deviation of the noise, see Notes.
        ``snr_source``
            ``"air"`` or ``"brain"``: where the noise was measured.
        ``coverage``
            Share of the template's brain that lies inside the raw scan's field of view, 0 to 1; None without template.
        ``touches_border``
            Whether more than 0.1 % of the brain lies in the raw scan's outermost voxels, so that some was not scanned.
        ``contrast``
            Distance of the two largest tissue classes over the sum of their standard deviations: one over the
            coefficient of joint variation; higher is better.

    Raises
    ------
    InputError
        Shapes that differ.

    Notes
    -----
    Noise is measured in the air, in cubes in the eight corners of the grid (median over the cubes), by the median
    absolute deviation over 0.448, since the magnitude of Gaussian noise follows Rayleigh's distribution [1]_; over
    0.674, the Gaussian value, where air has negative numbers (CT). Where the background was set to zero, noise is
    the median absolute deviation over 0.674, inside the brain, of the image filtered by (1, −2, 1) along every axis,
    which removes anything smooth [2]_; its taps are one voxel of the raw scan apart, since what interpolation put
    between them is smooth by itself. Interpolation also removes noise: after it either figure is several times
    too good, so compare scans prepared alike, or measure the raw scan.

    References
    ----------
    .. [1] H. Gudbjartsson and S. Patz, Magnetic Resonance in Medicine 34, 1995.
    .. [2] J. Immerkær, Computer Vision and Image Understanding 64, 1996.
    """
    channels: NDArray = np.asarray(image)[None] if np.ndim(image) == 3 else np.asarray(image)
    own = np.diag([*spacing[::-1], 1.0])
    way_back = way_back or WayBack(brain.shape, own, brain.shape, own, np.eye(4))
    for name, shape in (
        ("image", channels.shape[1:]),
        ("template_brain", brain.shape if template_brain is None else template_brain.shape),
        ("way_back", way_back.prepared_shape),
    ):
        if tuple(shape) != brain.shape:
            raise InputError(f"{name}: expected the brain's shape {brain.shape} (d, h, w), found {tuple(shape)}")
    depth = _depth(way_back)
    size = int(brain.sum())
    stretch = abs(float(np.linalg.det(way_back.prepared_to_native[:3, :3])))
    signal, source = _worst_snr(channels, brain, _native_steps(way_back))
    contrasts = [value for channel in channels if (value := _contrast(channel[brain])) is not None]
    return {
        "dice_to_template": None if template_brain is None else _dice_at_one_size(brain, template_brain),
        "brain_ml": size * float(np.prod(spacing)) / 1000 * stretch,
        "snr": signal,
        "snr_source": source,
        "coverage": None if template_brain is None else float((depth[template_brain] >= 0).mean()),
        "touches_border": bool(np.count_nonzero(depth[brain] < 1) > _BORDER_SHARE * size),
        "contrast": min(contrasts, default=None),
    }


def _depth(way_back: WayBack) -> NDArray[np.float32]:
    """Voxels of the raw scan from each prepared voxel to the nearest face of its field of view, negative outside."""
    move = voxel_map(way_back.native_affine, way_back.prepared_affine, way_back.prepared_to_native).astype(np.float32)
    indices = np.ogrid[tuple(slice(n) for n in way_back.prepared_shape)]
    depth = np.full(way_back.prepared_shape, np.inf, np.float32)
    for (*row, offset), size in zip(move[:3], way_back.native_shape, strict=True):
        if size > 1:  # a single slice has no depth
            place = offset + np.float32(0.5)
            for a, index in zip(row, indices, strict=True):
                place = place + a * index.astype(np.float32)
            np.minimum(depth, np.minimum(place, size - place), out=depth)
    return depth


def _dice_at_one_size(brain: NDArray[np.bool_], template: NDArray[np.bool_]) -> float:
    """Overlap of the brain, enlarged or shrunk about its centre to the template's volume, with it; 0 if one is empty.

    Rigid registration leaves a small brain small, and it would overlap poorly however well it lies.
    """
    sizes = np.array([np.count_nonzero(brain), np.count_nonzero(template)])
    if not sizes.all():
        return 0.0
    # No adult's brain needs more; a mask that is larger or smaller still is broken, and shows it.
    scale = float(np.clip(np.cbrt(sizes[0] / sizes[1]), *_SIZE_RANGE))
    centre = np.array([axis.mean() for axis in np.nonzero(brain)])
    scaled = ndimage.affine_transform(
        brain.astype(np.float32), np.full(3, scale), offset=centre * (1 - scale), order=1, prefilter=False
    )
    brain = scaled >= 0.5
    return 2 * int(np.count_nonzero(brain & template)) / int(np.count_nonzero(brain) + sizes[1])


def _worst_snr(channels: NDArray, brain: NDArray[np.bool_], steps: Sequence[int]) -> tuple[float | None, str | None]:
    """Give the lowest SNR of the channels and where its noise was measured."""
    figures: list[tuple[float, str]] = []
    for channel in channels if brain.any() else ():
        noise, source = _air_noise(channel), "air"
        if noise == 0:
            noise, source = _brain_noise(channel, brain, steps), "brain"
        if noise > 0:
            figures.append((float(abs(channel[brain].mean(dtype=np.float64)) / noise), source))
    return min(figures) if figures else (None, None)


def _air_noise(channel: NDArray) -> float:
    """Measure the noise in the grid's corners; 0 where most of them are empty or constant."""
    sides = [max(int(_CORNER * n), 1) for n in channel.shape]
    noises = []
    for ends in product((False, True), repeat=3):
        corner = channel[
            tuple(slice(-side, None) if end else slice(side) for side, end in zip(sides, ends, strict=True))
        ]
        air = corner[corner != 0]
        usable = 2 * air.size > corner.size and air.size > 1
        scale = _MAD_GAUSSIAN if usable and air.min() < 0 else _MAD_RAYLEIGH
        noises.append(_spread(air) / scale if usable else 0.0)
    return float(np.median(noises))


def _native_steps(way_back: WayBack) -> list[int]:
    """Give the voxels along each axis of the prepared grid that lead to the next voxel of the raw scan."""
    move = voxel_map(way_back.native_affine, way_back.prepared_affine, way_back.prepared_to_native)
    return [max(int(np.ceil(1 / step - 0.25)), 1) for step in np.abs(move[:3, :3]).max(axis=0)]


def _brain_noise(channel: NDArray, brain: NDArray[np.bool_], steps: Sequence[int]) -> float:
    """Measure the noise in what is left of the brain without anything smooth; 0 if too little of it is there."""
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    inside, rough = brain[box], channel[box].astype(np.float32)
    axes = [axis for axis in range(3) if inside.shape[axis] >= 5 * steps[axis]]
    for axis in axes:
        step = steps[axis]
        kernel = np.zeros(2 * step + 1, np.float32)
        kernel[[0, step, -1]] = 1, -2, 1
        rough = ndimage.convolve1d(rough, kernel / np.float32(np.sqrt(6)), axis=axis)
        inside = ndimage.minimum_filter1d(inside.view(np.uint8), 4 * step + 1, axis=axis, mode="constant").view(bool)
    return _spread(rough[inside]) / _MAD_GAUSSIAN if axes and inside.any() else 0.0


def _spread(values: NDArray) -> float:
    """Median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values))))


def _contrast(values: NDArray) -> float | None:
    """Distance of the two largest of three intensity classes over the sum of their standard deviations."""
    if len(np.unique(values[:: max(len(values) // 10_000, 1)])) < 3:
        return None
    clipped = np.clip(values, *np.quantile(values, (0.005, 0.995))).astype(np.float32)
    try:
        classes = np.digitize(clipped, threshold_multiotsu(clipped, classes=3, nbins=128))
    except ValueError:  # fewer than three bins are filled
        return None
    first, second = np.argsort(np.bincount(classes, minlength=3))[::-1][:2]
    a, b = clipped[classes == first], clipped[classes == second]
    spread = float(a.std() + b.std())
    return float(abs(a.mean() - b.mean())) / spread if spread > 0 else None
