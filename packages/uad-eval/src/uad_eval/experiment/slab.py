"""The central slices of prepared volumes, as volumes and one by one: the same voxels for 2D and for 3D networks."""

import hashlib
import json
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.errors import InputError


def central_slab(store: ArrayStore, depth: int) -> ArrayStore:
    """Crop volumes to their central axial slices.

    Parameters
    ----------
    store : ArrayStore
        Of volumes.
    depth : int
        How many slices, from 1 to those there are.

    Returns
    -------
    ArrayStore
        A view of size ``(depth, h, w)`` with a digest of its own. Its index counts the lesion of the whole scan, so
        that nobody with a lesion outside the slab passes for healthy.

    Raises
    ------
    InputError
        The arrays are slices, or not that deep.
    """
    size = store.spec.size
    if len(size) != 3 or not 1 <= depth <= size[0]:
        raise InputError(
            f"depth: expected 1 to the depth of volumes (d, h, w), found {depth} for arrays of size {size}"
        )
    first = (size[0] - depth) // 2
    kept = slice(first, first + depth)
    return replace(
        store,
        image=store.image[:, :, kept],
        brain=store.brain[:, kept],
        lesion=store.lesion[:, kept],
        spec=replace(store.spec, size=(depth, *size[1:])),
        digest=_digest(store.digest, "slab", first, depth),
    )


def as_slices(store: ArrayStore, rows: NDArray) -> ArrayStore:
    """Take volumes apart into their axial slices.

    Parameters
    ----------
    store : ArrayStore
        Of volumes.
    rows : ndarray of int, shape (n,)
        Which of them.

    Returns
    -------
    ArrayStore
        Item ``i * d + j`` is slice ``j`` of volume ``rows[i]``, a copy in memory; its index counts the voxels of that
        slice. Slices without annotation stay so.
    """
    depth, *plane = store.spec.size
    image, brain, lesion = store.image[rows], store.brain[rows], store.lesion[rows]
    index = store.index.iloc[np.repeat(rows, depth)].reset_index(drop=True)
    annotated = index["lesion_voxels"].to_numpy() >= 0
    return replace(
        store,
        image=np.ascontiguousarray(np.moveaxis(image, 2, 1).reshape(-1, image.shape[1], *plane)),
        brain=brain.reshape(-1, *plane),
        lesion=lesion.reshape(-1, *plane),
        spec=replace(store.spec, size=tuple(plane)),
        index=index.assign(
            slice=np.tile(np.arange(depth), len(rows)),
            brain_voxels=brain.sum(axis=(2, 3)).ravel(),
            lesion_voxels=np.where(annotated, (lesion > 0).sum(axis=(2, 3)).ravel(), -1),
        ),
        digest=_digest(store.digest, "slices", *rows.tolist()),
    )


def _digest(*parts: str | int) -> str:
    """Key of a view."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
