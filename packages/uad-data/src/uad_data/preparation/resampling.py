"""Volumes from one grid to another through millimetres: one interpolation, whatever lies between.

A grid is a shape ``(d, h, w)`` and an affine that takes voxels ``(i, j, k) = (w, h, d)`` to RAS+ millimetres, as in
`uad_data.scan.Scan`.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Affine: TypeAlias = NDArray[np.floating[Any]]
Shape: TypeAlias = tuple[int, int, int]
# (i, j, k) <-> (d, h, w)
_FLIP = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)


def resample(
    volume: NDArray,
    affine: Affine,
    *,
    shape: Shape,
    to: Affine,
    world: Affine | None = None,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Resample an image or a map linearly.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        Voxels to sample.
    affine : ndarray, shape (4, 4)
        Their grid.
    shape : tuple of int
        ``(d, h, w)`` of the grid wanted.
    to : ndarray, shape (4, 4)
        Affine of the grid wanted.
    world : ndarray, shape (4, 4), optional
        Takes millimetres of the grid wanted to millimetres of `volume`; by default they are the same.
    outside : float, default: 0.0
        Value of what lies outside `volume`; ``nan`` repeats its border instead.

    Returns
    -------
    ndarray, shape `shape`, float32

    Notes
    -----
    Along an axis of `volume` on which the new voxels are wider than the old ones, a Gaussian of
    (ratio − 1) / 2 voxels is applied first, so that thin structures are averaged and not skipped.
    """
    step = voxel_map(affine, to, world)
    wider = np.linalg.norm(step[:3, :3], axis=1)
    sigma = np.where(wider > 1 + 1e-3, (wider - 1) / 2, 0.0)
    source = np.asarray(volume, np.float32)
    if sigma.any():
        source = ndimage.gaussian_filter(source, sigma, mode="nearest", truncate=3)
    if same_voxels(step, source.shape, shape):
        return source.copy()
    mode, value = ("nearest", 0.0) if np.isnan(outside) else ("grid-constant", outside)
    return ndimage.affine_transform(source, step[:3, :3], step[:3, 3], shape, order=1, mode=mode, cval=value)


def resample_labels(
    labels: NDArray, affine: Affine, *, shape: Shape, to: Affine, world: Affine | None = None
) -> NDArray[np.uint8]:
    """Resample a mask or classes: each class linearly, and a voxel belongs to what fills at least half of it.

    Parameters
    ----------
    labels : ndarray, shape (d, h, w)
        0 background, 1 and above classes (bool for a mask).
    affine, shape, to, world
        As for `resample`.

    Returns
    -------
    ndarray, shape `shape`, uint8
    """
    classes = np.unique(labels)
    result = np.zeros(shape, np.uint8)
    covered = np.zeros(shape, np.float32)
    most = np.zeros(shape, np.float32)
    for name in classes[classes > 0]:
        share = resample(labels == name, affine, shape=shape, to=to, world=world)
        result[share > most] = name
        np.maximum(most, share, out=most)
        covered += share
    result[covered < 0.5] = 0
    return result


def regular_grid(shape: Shape, affine: Affine, spacing: float) -> tuple[Shape, Affine]:
    """Give the grid of cubic voxels that covers the same box with the same directions.

    Parameters
    ----------
    shape, affine
        The grid to cover.
    spacing : float
        Edge of a voxel in millimetres.

    Returns
    -------
    tuple of (shape, affine)
        The new grid, centred on the old one, at least as large.
    """
    old = np.linalg.norm(affine[:3, :3], axis=0)
    length = np.ceil(np.array(shape[::-1]) * old / spacing - 1e-3).astype(int)
    return centred_grid(
        (int(length[2]), int(length[1]), int(length[0])),
        directions=affine[:3, :3] / old * spacing,
        centre=grid_centre(shape, affine),
    )


def centred_grid(shape: Shape, *, directions: NDArray, centre: NDArray) -> tuple[Shape, Affine]:
    """Give a grid by its middle.

    Parameters
    ----------
    shape : tuple of int
        ``(d, h, w)``.
    directions : ndarray, shape (3, 3)
        Millimetres per step along ``(i, j, k)``, one column each.
    centre : ndarray, shape (3,)
        Millimetres of the middle of the box.

    Returns
    -------
    tuple of (shape, affine)
    """
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = centre - directions @ ((np.array(shape[::-1]) - 1) / 2)
    return shape, affine


def grid_centre(shape: Shape, affine: Affine) -> NDArray[np.float64]:
    """Give the middle of a grid's box in millimetres."""
    return affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2) + affine[:3, 3]


def voxel_map(affine: Affine, to: Affine, world: Affine | None = None) -> Affine:
    """Give the 4 × 4 map from voxels ``(d, h, w)`` of the grid wanted to voxels ``(d, h, w)`` of the source."""
    world = np.eye(4) if world is None else world
    return _FLIP @ np.linalg.inv(affine) @ world @ to @ _FLIP


def same_voxels(step: Affine, source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Tell whether two grids share every voxel, so that there is nothing to interpolate."""
    return tuple(source) == tuple(target) and bool(np.allclose(step, np.eye(4), atol=1e-6))
