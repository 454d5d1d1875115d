"""Erosion and dilation by a disk or ball, as the intersection of shifted copies: fast for small radii.

What lies beyond the array is taken as it suits neither: an erosion takes it as set, a dilation as unset. So the border
of the field of view erodes nothing, and an opening never adds a voxel, a closing never removes one.
"""

from itertools import product

import numpy as np

from uad_postproc.context import Context


def ball_offsets(*, radius: float, unit: str, context: Context) -> list[tuple[int, ...]]:
    """Offsets in voxels from a ball's centre to all its voxels: distance to the centre at most the radius."""
    spacing = np.ones(context.spatial_ndim) if unit == "voxel" else np.array(context.voxel_mm)
    reach = np.floor(radius / spacing + 1e-6).astype(int)
    offsets = product(*(range(-r, r + 1) for r in reach))
    return [offset for offset in offsets if np.linalg.norm(np.array(offset) * spacing) <= radius * (1 + 1e-6)]


def erode(mask: np.ndarray, offsets: list[tuple[int, ...]]) -> np.ndarray:
    """Keep the voxels of each item (n, *spatial) whose whole ball is set."""
    reach = np.abs(np.array(offsets)).max(axis=0)
    padded = np.pad(mask, [(0, 0), *((r, r) for r in reach)], constant_values=True)
    out = mask.copy()
    for offset in offsets:
        window = (slice(r + o, r + o + size) for r, o, size in zip(reach, offset, mask.shape[1:], strict=True))
        out &= padded[(slice(None), *window)]
    return out


def dilate(mask: np.ndarray, offsets: list[tuple[int, ...]]) -> np.ndarray:
    """Set the voxels of each item (n, *spatial) whose ball holds a set one."""
    return ~erode(~mask, offsets)
