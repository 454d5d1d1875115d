"""Several maps of the same items into one: their mean, their maximum, or their mean rank."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError

Fusion = Literal["mean", "max", "rank"]


def fuse(maps: Sequence[np.ndarray], context: Context, *, how: Fusion = "mean") -> np.ndarray:
    """Fuse anomaly maps of the same items.

    Mean and maximum need maps in one unit: bring them to p-values with `HealthyPValue` first. Ranks need no unit, but
    are counted inside each item: a healthy item then has ranks as high as one with a lesion, so that they order the
    voxels of an item and not the items.

    Parameters
    ----------
    maps : sequence of numpy.ndarray, each (n, *spatial)
        Higher is more anomalous; what lies outside the brain is not looked at.
    context : Context
        Brain, on the same grid.
    how : "mean", "max" or "rank"
        "rank" averages the ranks of a voxel among those of its brain, from 0 to 1, equal values sharing their rank.

    Returns
    -------
    numpy.ndarray, (n, *spatial), float32
        The fused maps, 0 outside the brain.

    Raises
    ------
    InputError
        When there is no map, a shape differs, or a map is not finite inside the brain.
    """
    if how not in get_args(Fusion):
        raise InputError(f"how: expected one of {get_args(Fusion)}, found {how!r}")
    if len(maps) == 0:
        raise InputError("maps: expected at least one map, found none")
    fused = np.zeros(context.brain.shape, dtype=np.float32)
    for number, each in enumerate(maps):
        if each.shape != context.brain.shape:
            raise InputError(f"maps: map {number}: expected shape {context.brain.shape}, found {each.shape}")
        inside = np.where(context.brain, each, 0).astype(np.float32)
        if not np.isfinite(inside).all():
            raise InputError(f"maps: map {number} holds NaN or infinite values inside the brain")
        if how == "max":
            fused = inside if number == 0 else np.maximum(fused, inside)
        else:
            fused += (_ranks(inside, context.brain) if how == "rank" else inside) / np.float32(len(maps))
    return fused


def _ranks(x: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Rank of each voxel inside its item's brain, from 0 to 1; equal values share the mean of their ranks."""
    out = np.zeros(x.shape, dtype=np.float32)
    for item, inside, ranks in zip(x, brain, out, strict=True):
        values, place, counts = np.unique(item[inside], return_inverse=True, return_counts=True)
        if values.size:
            middle = np.cumsum(counts) - (counts + 1) / 2
            ranks[inside] = (middle / max(counts.sum() - 1, 1))[place]
    return out
