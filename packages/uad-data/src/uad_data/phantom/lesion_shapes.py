"""Shapes of lesions: where one may lie, how it spreads from there, and how deep each voxel lies in it."""

import numpy as np
from scipy import ndimage

from uad_data.phantom.anatomy import Anatomy, smooth_field


def pick_voxel(rng: np.random.Generator, candidates: np.ndarray) -> np.ndarray:
    """Return one voxel.

    Parameters
    ----------
    rng
        Source of randomness, one draw.
    candidates
        ``(x, y, z)`` bool, at least one of them True.

    Returns
    -------
    ndarray
        ``(3,)`` float, its indices.
    """
    flat = np.flatnonzero(candidates)
    return np.array(np.unravel_index(flat[int(rng.random() * len(flat))], candidates.shape), dtype=float)


def rough_distance(
    rng: np.random.Generator, anatomy: Anatomy, centre: np.ndarray, *, coarse: float, fine: float, stretch: float
) -> np.ndarray:
    """Measure distances from a centre: ellipsoidal, then roughened at 9 mm and at 4 mm.

    Parameters
    ----------
    rng
        Source of randomness.
    anatomy
        The person.
    centre
        ``(3,)`` in voxels.
    coarse, fine
        Standard deviations of the roughness in mm.
    stretch
        Largest logarithm of an axis's stretch.

    Returns
    -------
    ndarray
        ``(x, y, z)`` in mm.
    """
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    axes = turn * np.exp(rng.uniform(-stretch, stretch, 3))[:, None]
    offset = [(np.arange(n) - c) * anatomy.spacing for n, c in zip(anatomy.shape, centre, strict=True)]
    squared = sum(
        (a[0] * offset[0][:, None, None] + a[1] * offset[1][:, None] + a[2] * offset[2]) ** 2
        for a in axes.astype(np.float32)
    )
    rough = coarse * smooth_field(rng, anatomy.shape, anatomy.spacing, 9.0)
    return np.sqrt(squared) + rough + fine * smooth_field(rng, anatomy.shape, anatomy.spacing, 4.0)


def grow(radius: np.ndarray, allowed: np.ndarray, voxels: float) -> np.ndarray:
    """Fill the nearest voxels and keep the largest connected piece.

    Parameters
    ----------
    radius
        ``(x, y, z)`` distance in mm.
    allowed
        ``(x, y, z)`` bool.
    voxels
        How many of the allowed to fill.

    Returns
    -------
    ndarray
        ``(x, y, z)`` float32, depth in mm below the lesion's surface; at most 0 outside.
    """
    inside = radius[allowed]
    count = int(np.clip(voxels, 1, len(inside) - 1))
    depth = np.where(allowed, np.partition(inside, count)[count] - radius, -1.0)
    pieces, number = ndimage.label(depth > 0)
    if number > 1:
        depth[pieces != np.bincount(pieces.ravel())[1:].argmax() + 1] = -1.0
    return depth.astype(np.float32)


def one_side(anatomy: Anatomy, centre: np.ndarray) -> np.ndarray:
    """Return the voxels of the brain, ``(x, y, z)`` bool, on the side of the falx where ``centre (3,)`` lies."""
    x = anatomy.mni_x
    return anatomy.brain & (x * np.sign(x[tuple(centre.astype(int))]) > 2.0)


def territory(rng: np.random.Generator, anatomy: Anatomy, ml: float, allowed: np.ndarray) -> np.ndarray:
    """Draw an infarct: a wedge with its base on the cortex, or a spot in the depth when it is small.

    Parameters
    ----------
    rng
        Source of randomness.
    anatomy
        The person.
    ml
        Volume.
    allowed
        ``(x, y, z)`` bool.

    Returns
    -------
    ndarray
        ``(x, y, z)`` depth as of `grow`.
    """
    lateral = (np.abs(anatomy.mni_x) > 14) & (anatomy.mni_z > -30)
    near = (anatomy.depth > 5) & (anatomy.depth < (40 if ml < 6 else 22))
    centre = pick_voxel(rng, anatomy.tissue & lateral & near)
    distance = rough_distance(rng, anatomy, centre, coarse=4.0, fine=2.2, stretch=0.35) + 0.35 * anatomy.depth
    return grow(distance, allowed & one_side(anatomy, centre), ml * 1000 / anatomy.spacing**3)
