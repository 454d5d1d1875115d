"""Where the random patches of a training batch lie.

A share of the patches is centred on a voxel of the brain, so that no batch is all air; the others lie anywhere.
"""

import numpy as np

from uad_data.arrays import ArrayStore
from uad_data.errors import InputError

FOREGROUND = 0.33  # nnU-Net's share
_TRIES = 64


def check_patch(patch: tuple[int, ...], size: tuple[int, ...]) -> None:
    """Refuse a patch that does not fit into the stored images.

    Parameters
    ----------
    patch, size
        Sides of the patch and of the images.

    Raises
    ------
    InputError
        Another number of sides, or one that is larger than the image's.
    """
    if len(patch) != len(size) or any(side > whole for side, whole in zip(patch, size, strict=True)):
        raise InputError(f"patch: expected {len(size)} sides up to {size}, the size of the images, got {patch}")


def patch_corners(
    store: ArrayStore,
    rows: np.ndarray,
    patch: tuple[int, ...],
    *,
    seed: tuple[int, ...],
    foreground: float = FOREGROUND,
) -> np.ndarray:
    """Draw the place of a patch in each of some rows.

    Parameters
    ----------
    store
        The prepared arrays.
    rows
        ``(b,)`` int.
    patch
        Sides of the patch.
    seed
        Fixes the places.
    foreground
        Probability that a patch is centred on a voxel of the brain, as far as the image's border allows.

    Returns
    -------
    ndarray
        ``(b, dims)`` int, the lowest corner of each patch.
    """
    random = np.random.default_rng(seed)
    size = np.array(store.spec.size)
    sides = np.array(patch)
    highest = size - sides
    corners = random.integers(0, highest, endpoint=True, size=(len(rows), len(size)))
    # Drawn for every row, used for a share: what one row needs does not shift the numbers of the next.
    centred = random.random(len(rows)) < foreground
    voxels = random.integers(0, size, size=(len(rows), _TRIES, len(size)))
    for item in np.flatnonzero(centred):
        inside = store.brain[(rows[item], *voxels[item].T)]
        if inside.any():
            corners[item] = np.clip(voxels[item, inside.argmax()] - sides // 2, 0, highest)
    return corners
