"""Crop a scan around its brain, resample it to one size, and take results back to the scan's own grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from uad_data.errors import InputError


@dataclass(frozen=True)
class Frame:
    """A box on a scan's grid, sampled at ``size`` points per axis: crop and zoom in one step.

    Output pixel ``o`` of an axis shows the native coordinate ``centre + step * (o - (size - 1) / 2)``, so pixel centres
    are aligned and an axis with ``step`` 1 and the same centre is copied unchanged. The frame has the last two axes
    ``(h, w)`` or all three ``(d, h, w)``; axes before them (channels, slices) are carried along untouched.

    Parameters
    ----------
    native : tuple of int
        Shape of the scan's own grid, ``(h, w)`` or ``(d, h, w)``.
    size : tuple of int
        Shape of the frame, as many axes as `native`.
    centre : tuple of float
        Native coordinate (in voxels) that the frame is centred on.
    step : tuple of float
        Native voxels per pixel of the frame; above 1 shrinks, below 1 enlarges.
    """

    native: tuple[int, ...]
    size: tuple[int, ...]
    centre: tuple[float, ...]
    step: tuple[float, ...]

    @classmethod
    def fit(cls, brain: np.ndarray, *, spacing: Sequence[float], size: Sequence[int], margin: float = 0.05) -> Self:
        """Fit the frame to the brain's bounding box, so that brains fill it alike.

        Pixels of the frame are isotropic in mm over its axes, whatever the scan's spacing; the tightest axis decides.
        With a 2D `size` one frame serves all slices and the ``d`` axis keeps its resolution.

        Parameters
        ----------
        brain : numpy.ndarray
            Brain mask, ``(d, h, w)`` bool.
        spacing : sequence of float
            Voxel spacing of ``(d, h, w)`` in mm.
        size : sequence of int
            ``(h, w)`` for slices or ``(d, h, w)`` for volumes.
        margin : float, default: 0.05
            Part of the frame left free on each side of the brain, 0 <= margin < 0.5.

        Returns
        -------
        Frame
            The fitted frame.

        Raises
        ------
        InputError
            The brain mask is empty.
        """
        if not brain.any():
            raise InputError("the brain mask is empty: expected at least one brain voxel to frame. Check the mask.")
        axes = range(3 - len(size), 3)
        edges = [_extent(brain, axis) for axis in axes]
        mm = np.array([spacing[axis] for axis in axes], dtype=float)
        extent = np.array([last - first + 1 for first, last in edges]) * mm
        pixel = (extent / (np.array(size) * (1 - 2 * margin))).max()
        return cls(
            native=tuple(brain.shape[axis] for axis in axes),
            size=tuple(int(length) for length in size),
            centre=tuple((first + last) / 2 for first, last in edges),
            step=tuple(float(value) for value in pixel / mm),
        )

    def forward(self, volume: np.ndarray, *, order: int = 1) -> np.ndarray:
        """Resample from the scan's grid to the frame.

        Parameters
        ----------
        volume : numpy.ndarray
            ``(..., *native)``.
        order : {1, 0}, default: 1
            1 for images: linear, after a Gaussian against aliasing on each axis that shrinks (sigma = (step - 1) / 2
            voxels, as in scikit-image). 0 for masks and labels: nearest neighbour.

        Returns
        -------
        numpy.ndarray
            ``(..., *size)``; float32 for order 1, the dtype of `volume` for order 0; 0 outside the scan.

        Raises
        ------
        InputError
            The last axes of `volume` are not `native`.
        """
        offset = [centre - step * (size - 1) / 2 for centre, step, size in zip(*self._axes(), strict=True)]
        return _resample(volume, self.native, self.size, self.step, offset, order)

    def inverse(self, volume: np.ndarray, *, order: int = 1) -> np.ndarray:
        """Resample from the frame back to the scan's grid.

        Parameters
        ----------
        volume : numpy.ndarray
            ``(..., *size)``.
        order : {1, 0}, default: 1
            As in `forward`: 1 for maps, 0 for masks and labels.

        Returns
        -------
        numpy.ndarray
            ``(..., *native)``; float32 for order 1, the dtype of `volume` for order 0; 0 outside the frame.

        Raises
        ------
        InputError
            The last axes of `volume` are not `size`.
        """
        step = [1 / step for step in self.step]
        offset = [(size - 1) / 2 - centre / step for centre, step, size in zip(*self._axes(), strict=True)]
        return _resample(volume, self.size, self.native, step, offset, order)

    def _axes(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
        """Centre, step and size, to go through axis by axis."""
        return self.centre, self.step, self.size


def _extent(brain: np.ndarray, axis: int) -> tuple[int, int]:
    """First and last index along `axis` that hold brain."""
    inside = np.flatnonzero(brain.any(axis=tuple(other for other in range(brain.ndim) if other != axis)))
    return int(inside[0]), int(inside[-1])


def _resample(
    volume: np.ndarray,
    source: tuple[int, ...],
    target: tuple[int, ...],
    step: Sequence[float],
    offset: Sequence[float],
    order: int,
) -> np.ndarray:
    """Sample `volume` (..., *source) at offset + step * o for every o of `target`."""
    ndim = len(source)
    if volume.shape[-ndim:] != source:
        raise InputError(f"this frame resamples arrays (..., {source}): found shape {volume.shape}.")
    lead = volume.shape[:-ndim]
    kept = np.float32 if order else (np.uint8 if volume.dtype == bool else volume.dtype)
    items = volume.reshape(-1, *source).astype(kept, copy=False)
    result = np.empty((len(items), *target), dtype=kept)
    sigma = [max(0.0, (factor - 1) / 2) for factor in step]
    for item, out in zip(items, result, strict=True):
        if order and any(sigma):
            item = ndimage.gaussian_filter(item, sigma, mode="nearest")
        # A 1D matrix is scipy's separable zoom: no coordinate array is made.
        ndimage.affine_transform(
            item, np.asarray(step), np.asarray(offset), target, output=out, order=order, mode="nearest"
        )
    for axis, (factor, start, length, count) in enumerate(zip(step, offset, source, target, strict=True), start=1):
        position = start + factor * np.arange(count)
        outside = (position < -0.5) | (position >= length - 0.5)
        result[(slice(None),) * axis + (outside,)] = 0
    return result.reshape(*lead, *target).astype(bool if not order and volume.dtype == bool else kept, copy=False)
