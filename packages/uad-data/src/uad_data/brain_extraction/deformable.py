"""Deformable registration of two images on one grid, by local correlation."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_RADIUS = 2


def deform(
    moving: NDArray[np.float32],
    fixed: NDArray[np.float32],
    weight: NDArray[np.float32],
    *,
    iterations: int = 30,
    smooth_step: float = 2.0,
    smooth_total: float = 1.0,
) -> NDArray[np.float32]:
    """Find the smooth displacement that lays the moving image on the fixed one.

    Parameters
    ----------
    moving, fixed : ndarray, shape (d, h, w), float32
        Two images, roughly aligned, at least 4 voxels along each axis, values of about 0 to 1. Contrast may differ and
        even be reversed, as the correlation is squared.
    weight : ndarray, shape (d, h, w), float32
        How much each voxel of the fixed image counts, 0 to 1.
    iterations : int
        Steps of at most one voxel, made on every other voxel.
    smooth_step, smooth_total : float
        Standard deviation, in units of two voxels, of the Gaussian on each step and on the sum of all.

    Returns
    -------
    ndarray, shape (3, d, h, w), float32
        ``moving`` sampled at index + displacement resembles ``fixed``. Steps are small, smooth and composed, so that
        it can be inverted.

    References
    ----------
    P. Yushkevich et al., Fast automatic segmentation of hippocampal subfields and medial temporal lobe subregions in 3
    and 7 Tesla T2-weighted MRI, 2016 (greedy); B. Avants et al., Symmetric diffeomorphic image registration with
    cross-correlation, Medical Image Analysis 12, 2008.
    """
    small_fixed, small_moving, small_weight = (_halve(image) for image in (fixed, moving, weight))
    field = np.zeros((3, *small_fixed.shape), np.float32)
    indices = np.indices(small_fixed.shape, dtype=np.float32)
    stats = _local(small_fixed), _local(small_fixed**2)
    for _ in range(iterations):
        warped = ndimage.map_coordinates(small_moving, indices + field, order=1, mode="nearest")
        pull = _step(small_fixed, warped, small_weight, stats)
        step = np.stack([ndimage.gaussian_filter(p, smooth_step, truncate=3) for p in pull])
        length = np.sqrt((step**2).sum(0).max())
        if length == 0:
            break
        step *= 0.5 / length
        at = indices + step
        field = step + np.stack([ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in field])
        field = np.stack([ndimage.gaussian_filter(f, smooth_total, truncate=3) for f in field])
    at = np.indices(fixed.shape, dtype=np.float32) / 2
    return np.stack([2 * ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in field])


def _local(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the neighbourhood."""
    return ndimage.uniform_filter(image, 2 * _RADIUS + 1, mode="nearest")


def _step(
    fixed: NDArray[np.float32],
    warped: NDArray[np.float32],
    weight: NDArray[np.float32],
    stats: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    """Gradient of the squared local correlation with respect to the displacement."""
    fixed_mean, square = stats
    warped_mean = _local(warped)
    covariance = _local(fixed * warped) - fixed_mean * warped_mean
    fixed_var = np.maximum(square - fixed_mean**2, 0) + 1e-4
    warped_var = np.maximum(_local(warped**2) - warped_mean**2, 0) + 1e-4
    pull = 2 * covariance / (fixed_var * warped_var)
    pull *= (fixed - fixed_mean) - covariance / warped_var * (warped - warped_mean)
    pull *= weight
    return [pull * g for g in np.gradient(warped)]


def _halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth and take every other voxel."""
    return ndimage.gaussian_filter(image, 1.0)[::2, ::2, ::2]
