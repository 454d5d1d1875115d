"""Squares, cubes, discs and balls, painted into each image of a batch at its own places."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Corrupted
from uad_data.corruptions.windows import window_axes


@dataclass(frozen=True)
class Shapes:
    """Shapes for a batch of images, on any device; later ones lie over earlier ones.

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
    (b, c), size, k, device = image.shape[:2], image.shape[2:], shapes.side.shape[1], image.device
    # A shape is a run of voxels on each of its lines along the last axis: only these voxels are touched.
    first, length = _runs(shapes, size, largest)
    run = torch.repeat_interleave(length)
    place = (first - (length.cumsum(0) - length)).index_select(0, run) + torch.arange(len(run), device=run.device)
    # The shapes of one number, one of each image, are written at once; later numbers lie over earlier ones.
    layers, lines = length.view(k, -1).sum(1).tolist(), len(length) // (k * b)
    value = shapes.value.to(image.dtype).transpose(0, 1).reshape(k * b, c).repeat_interleave(lines, dim=0)
    here = place.to(device)
    inside = brain.reshape(-1).index_select(0, here)
    painted, mask = image.clone(memory_format=torch.contiguous_format), brain.new_zeros(brain.shape)
    mask.view(-1).index_copy_(0, here, inside)
    flat, voxels = painted.view(-1), size.numel()
    if c > 1:
        owner = torch.arange(b, device=run.device).repeat(k).repeat_interleave(lines).index_select(0, run)
        here = (place + (c - 1) * voxels * owner).to(device)
    for channel in range(c):
        there = here + channel * voxels if channel else here
        new = value[:, channel].index_select(0, run).to(device)
        new = torch.where(inside, new, flat.index_select(0, there))
        for layer, values in zip(there.split(layers), new.split(layers), strict=True):
            flat.index_copy_(0, layer, values)
    return Corrupted(painted, mask)


def _runs(shapes: Shapes, size: Sequence[int], largest: int) -> tuple[Tensor, Tensor]:
    """First voxel, in the flattened batch, and length of each run: ``(k * b * largest ** (n - 1),)`` int64 each.

    A line of a disc is shorter the farther it is from the middle; where there is none, the length is 0.
    """
    ones = (1,) * (len(size) - 1)
    start, side, is_round, present = (
        each.transpose(0, 1).flatten(0, 1) for each in (shapes.start, shapes.side, shapes.is_round, shapes.present)
    )
    images = torch.arange(len(shapes.side), device=side.device).repeat(shapes.side.shape[1])
    side, is_round, line = (each.view(-1, *ones) for each in (side, is_round, images))
    reach, left, drawn = (side - 1) / 2, side.square() / 4, present.view(-1, *ones)
    corner = torch.zeros(1, len(ones), dtype=torch.int64, device=side.device)
    for axis, offset in enumerate(window_axes(corner, [largest] * len(ones))):
        at = start[:, axis].view(-1, *ones) + offset
        drawn = drawn & (offset < side) & (at >= 0) & (at < size[axis])
        left = left - (offset - reach).square()
        line = line * size[axis] + at
    half = torch.where(is_round, left.clamp(min=0).sqrt(), reach)
    drawn = drawn & (~is_round | (left >= 0))
    middle = start[:, -1].view(-1, *ones) + reach
    low = (middle - half).ceil().clamp(min=0)
    length = ((middle + half).floor().clamp(max=size[-1] - 1) - low + 1).clamp(min=0) * drawn
    return (line * size[-1] + low.long()).flatten(), length.long().flatten()
