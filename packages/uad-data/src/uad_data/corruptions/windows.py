"""Small windows of a batch of images, each image's at its own place, read and written all at once."""

from collections.abc import Sequence

import torch
from torch import Tensor


def window_axes(start: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """Return the coordinates of the voxels of each image's window, axis by axis.

    Parameters
    ----------
    start : Tensor
        ``(b, n)`` int64, first voxel of each window.
    sides : sequence of int
        Length of the windows along each of the n axes.

    Returns
    -------
    list of Tensor
        int64, shaped to be broadcast over ``(b, *sides)``.
    """
    axes = []
    for axis, side in enumerate(sides):
        shape = [side if other == axis else 1 for other in range(len(sides))]
        axes.append((start[:, axis, None] + torch.arange(side, device=start.device)).view(len(start), *shape))
    return axes


def window_index(start: Tensor, sides: Sequence[int], size: Sequence[int]) -> Tensor:
    """Return where the voxels of each image's window lie in the flattened image.

    Parameters
    ----------
    start, sides
        See `window_axes`.
    size : sequence of int
        Size of the images; voxels of a window beyond it are taken from its edge.

    Returns
    -------
    Tensor
        ``(b, 1, *sides)`` int64.
    """
    index = torch.zeros((), dtype=torch.int64, device=start.device)
    for axis, side in zip(window_axes(start, sides), size, strict=True):
        index = index * side + axis.clamp(0, side - 1)
    return index[:, None]


def read_windows(image: Tensor, index: Tensor) -> Tensor:
    """Read each image's window.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``.
    index : Tensor
        ``(b, 1, *sides)``, see `window_index`.

    Returns
    -------
    Tensor
        ``(b, c, *sides)``.
    """
    flat = index.flatten(2).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, flat).view(*image.shape[:2], *index.shape[2:])


def write_windows(image: Tensor, index: Tensor, window: Tensor) -> None:
    """Write each image's window, in place.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, contiguous.
    index : Tensor
        ``(b, 1, *sides)``, see `window_index`.
    window : Tensor
        ``(b, c, *sides)``.
    """
    flat = index.flatten(2).expand(-1, image.shape[1], -1)
    image.view(*image.shape[:2], -1).scatter_(2, flat, window.to(image.dtype).flatten(2))
