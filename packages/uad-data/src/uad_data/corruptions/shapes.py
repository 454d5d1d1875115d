"""Squares, cubes, discs and balls, painted into each image of a batch at its own places."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Corrupted
from uad_data.corruptions.windows import window_axes, window_index


@dataclass(frozen=True)
class Shapes:
    """Shapes for a batch of images; later ones lie over earlier ones.

    Parameters
    ----------
    start : Tensor
        ``(b, k, n)`` int64, the lowest corner of each shape's bounding box; may lie outside the image.
    side : Tensor
        ``(b, k)`` int64, side of the square or diameter of the disc, in voxels.
    is_round : Tensor
        ``(b, k)`` bool: disc or ball rather than square or cube.
    value : Tensor
        ``(b, k, c)`` float, intensity.
    present : Tensor
        ``(b, k)`` bool: false for a shape that this image does not have.
    """

    start: Tensor
    side: Tensor
    is_round: Tensor
    value: Tensor
    present: Tensor


def paint(image: Tensor, brain: Tensor, shapes: Shapes, *, largest: int) -> Corrupted:
    """Paint shapes over the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    shapes : Shapes
        What to paint.
    largest : int
        The largest side that may occur, in voxels.

    Returns
    -------
    Corrupted
        The painted image and where it was painted.
    """
    (b, c), size = image.shape[:2], image.shape[2:]
    # Only a window around each shape is touched: most of an image has none.
    sides = [min(largest, side) for side in size]
    room = torch.tensor([side - length for side, length in zip(size, sides, strict=True)], device=image.device)
    corner = shapes.start.clamp(min=0).minimum(room)
    origin = window_index(corner.flatten(0, 1), [1] * len(size), size).view(b, -1, 1, 1)
    offset = window_index(torch.zeros_like(room)[None], sides, size).view(1, 1, -1)
    last, extent = _extents(shapes, corner, sides)
    values = shapes.value.to(image.dtype)[..., None]
    # A byte for each voxel: 1 is brain, 2 is painted; the two are then read and written together.
    painted, state = image.clone(memory_format=torch.contiguous_format), brain.view(torch.uint8).clone()
    pixels, bytes_ = painted.view(b, c, -1), state.view(b, 1, -1)
    for k in range(shapes.side.shape[1]):
        place = origin[:, k] + offset
        before = bytes_.gather(2, place)
        hit = (last[:, k] <= extent[:, k]).view(torch.uint8).view_as(before) & before.clamp(max=1)
        place_c = place.expand(-1, c, -1)
        pixels.scatter_(2, place_c, torch.where(hit.view(torch.bool), values[:, k], pixels.gather(2, place_c)))
        bytes_.scatter_(2, place, before.maximum(hit * 2))
    return Corrupted(painted, state.clamp_(min=1).sub_(1).view(torch.bool))


def _extents(shapes: Shapes, corner: Tensor, sides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Squared distance along the last axis, and up to which a shape extends: both broadcast over ``(b, k, *sides)``.

    A line of a disc extends less the farther it is from the middle; where there is none, the extent is below 0.
    """
    ones = (1,) * len(sides)
    side, is_round, present = (x.flatten().view(-1, *ones) for x in (shapes.side, shapes.is_round, shapes.present))
    reach = (side - 1) / 2
    *leading, last = [(place - reach).square() for place in window_axes((corner - shapes.start).flatten(0, 1), sides)]
    square, disc = reach.square(), (side / 2).square()
    for distance in leading:
        square, disc = torch.where(distance <= reach.square(), square, -1.0), disc - distance
    extent = torch.where(present, torch.where(is_round, disc, square), -1.0)
    return last.unflatten(0, corner.shape[:2]), extent.unflatten(0, corner.shape[:2])
