"""Orders in which the codes of a grid are read as a sequence.

Axes: ``n`` places of the grid, numbered as a C-ordered array is flattened.

- ``raster_0`` … ``raster_7``: line by line. For slices these are the 8 orientations of a picture: bit 0 mirrors the
  last axis, bit 1 the one before, bit 2 reads columns before rows. For volumes the three bits mirror ``w``, ``h`` and
  ``d``, 8 of the 48 orientations of a box.
- ``spiral``: from the border to the centre; the slices of a volume one after the other, every second one outwards, so
  that a step never jumps within a slice.
- ``hilbert``: Hilbert's curve through the smallest enclosing square or cube whose side is a power of 2, without the
  places outside the grid. Neighbours in the sequence are neighbours in space, except where the curve left the grid.
  Skilling, "Programming the Hilbert curve", AIP Conference Proceedings 707, 2004 (https://doi.org/10.1063/1.1751381).
- ``random``: one permutation, the same in every run.

Several orders of one scan are Pinaya's ensemble: see `uad_models.methods.vqvae_transformer`.
"""

import numpy as np
import torch
from torch import Tensor

RASTERS = tuple(f"raster_{number}" for number in range(8))
ORDERINGS = (*RASTERS, "spiral", "hilbert", "random")


def ordering(name: str, grid: tuple[int, ...]) -> Tensor:
    """Return the places of a grid in an order.

    Parameters
    ----------
    name
        One of `ORDERINGS`.
    grid
        ``(h, w)`` or ``(d, h, w)``.

    Returns
    -------
    Tensor
        ``(n,)`` int64, a permutation: ``sequence = codes.flatten()[order]``.
    """
    places = np.arange(np.prod(grid)).reshape(grid)
    if name in RASTERS:
        order = _raster(places, int(name.removeprefix("raster_")))
    elif name == "spiral":
        order = _spiral(places)
    elif name == "hilbert":
        order = np.argsort(_hilbert_index(np.indices(grid).reshape(len(grid), -1)), kind="stable")
    else:
        order = np.random.default_rng(0).permutation(places.size)
    return torch.from_numpy(np.ascontiguousarray(order))


def _raster(places: np.ndarray, orientation: int) -> np.ndarray:
    """Read line by line, mirrored as the bits say."""
    last_three = (-1, -2, -3)[: places.ndim]
    mirrored = tuple(axis for bit, axis in enumerate(last_three) if orientation >> bit & 1)
    places = np.flip(places, mirrored)
    return (places.T if places.ndim == 2 and orientation & 4 else places).ravel()


def _spiral(places: np.ndarray) -> np.ndarray:
    """Peel the first row off and turn the rest, until nothing is left; volumes slice by slice."""
    if places.ndim == 3:
        return np.concatenate([_spiral(plane)[:: -1 if number % 2 else 1] for number, plane in enumerate(places)])
    peeled = []
    while places.size:
        peeled.append(places[0])
        places = np.rot90(places[1:])
    return np.concatenate(peeled)


def _hilbert_index(points: np.ndarray) -> np.ndarray:
    """Return how far along the curve each of the points ``(axes, n)`` lies, by Skilling's transform."""
    points = points.copy()
    axes, bits = len(points), max(int(points.max()).bit_length(), 1)
    for level in range(bits - 1, 0, -1):
        low = (1 << level) - 1
        for axis in range(axes):
            high = points[axis] >> level & 1 == 1
            swapped = (points[0] ^ points[axis]) & low
            points[0] = np.where(high, points[0] ^ low, points[0] ^ swapped)
            if axis:
                points[axis] = np.where(high, points[axis], points[axis] ^ swapped)
    for axis in range(1, axes):
        points[axis] ^= points[axis - 1]
    flip = np.zeros_like(points[0])
    for level in range(bits - 1, 0, -1):
        flip = np.where(points[-1] >> level & 1 == 1, flip ^ ((1 << level) - 1), flip)
    points ^= flip
    index = np.zeros_like(flip)
    for level in range(bits - 1, -1, -1):
        for axis in range(axes):
            index = index << 1 | (points[axis] >> level & 1)
    return index
