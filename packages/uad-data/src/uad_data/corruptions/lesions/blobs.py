"""Blobs: places for lesions, of any size, with ragged outlines.

A blob is where ``r (1 + roughness e(x) - q(x)) > 0``: q is the distance from its centre in units of its radii (a
turned ellipsoid), r its mean radius in voxels, e smooth noise of two scales. What is subtracted is a distance in
voxels, so that a sigmoid of it is an edge of stated width whatever the blob's size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.draws import normal, uniform
from uad_data.corruptions.lesions.smoothing import smooth_noise

#: Log of how much longer or shorter than the mean an axis may be.
_ELONGATION = 0.35
#: Points along each axis of the noise on outlines.
_RAGGED = (6, 14)
#: Standard deviation of the tilt of the plane between left and right, as a slope.
_TILT = 0.1
#: A sigmoid rises from 0.1 to 0.9 over 4.4 units.
_RISE = 4.4


@dataclass(frozen=True)
class Blobs:
    """Blobs of a batch of images.

    Parameters
    ----------
    share : Tensor
        ``(b, 1, *s)`` float32, 0 to 1: share of a blob in each voxel; 0 outside the brain.
    depth : Tensor
        ``(b, 1, *s)`` float32: 1 at a blob's centre, 0 on its edge, negative outside.
    """

    share: Tensor
    depth: Tensor


def ball_volume(n: int) -> float:
    """Volume of a ball of radius 1 in n dimensions."""
    return math.pi ** (n / 2) / math.gamma(n / 2 + 1)


def turned(b: int, k: int, n: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Random orthogonal axes, ``(b, k, n, n)``: axes in rows."""
    return torch.linalg.qr(normal((b, k, n, n), generator, device))[0]


def linear_form(size: Sequence[int], centre: Tensor, slope: Tensor) -> Tensor:
    """Return ``<slope, x - centre>`` at every voxel.

    Parameters
    ----------
    size : sequence of int
        Size ``*s`` of the image.
    centre, slope : Tensor
        ``(b, n)``.

    Returns
    -------
    Tensor
        ``(b, 1, *s)``.
    """
    n, form = len(size), torch.zeros((), device=slope.device)
    for axis, side in enumerate(size):
        place = torch.arange(side, device=slope.device) - centre[:, axis, None]
        form = form + (place * slope[:, axis, None]).view(-1, 1, *[side if a == axis else 1 for a in range(n)])
    return form


def _square_distances(size: Sequence[int], centre: Tensor, frame: Tensor, more: Tensor) -> Tensor:
    """Return ``|frame (x - centre)|^2 + more`` of every voxel from each of k places, ``(b, k, v)``.

    A square is a polynomial in x, so that all squares are one matrix product.
    """
    middle = [(side - 1) / 2 for side in size]
    axes = [torch.arange(side, device=centre.device) - half for side, half in zip(size, middle, strict=True)]
    place = torch.stack(torch.meshgrid(axes, indexing="ij")).flatten(1)
    form = frame.mT @ frame
    at = (centre - torch.tensor(middle, device=centre.device))[..., None]
    linear = form @ at
    constant = (at * linear).sum((-2, -1)) + more
    terms = torch.cat((form.flatten(2), -2 * linear[..., 0], constant[..., None]), dim=-1)
    powers = torch.cat(((place[:, None] * place).flatten(0, 1), place, torch.ones_like(place[:1])))
    return (terms.flatten(0, 1) @ powers).view(len(centre), -1, powers.shape[1])


def draw_counts(counts: Sequence[float], b: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """How many lesions each image has, ``(b, 1)`` int64; `counts` are the weights of 1, 2, 3, ..."""
    until = torch.tensor(counts, device=device).cumsum(0)
    drawn = uniform(0, 1, (b, 1), generator, device) * until[-1]
    return 1 + torch.searchsorted(until, drawn, right=True).clamp(max=len(counts) - 1)


def _own_side(inside: Tensor, centre: Tensor, sided: float, generator: torch.Generator | None) -> Tensor:
    """Distance of every voxel from the plane between left and right, in voxels, ``(b, k, v)``.

    It is positive on the side of each of the k centres, and large everywhere in images that have no such plane. The
    plane halves the brain along the last axis, and is tilted at random.
    """
    b, size, device = len(inside), inside.shape[2:], inside.device
    tilt = normal((b, len(size)), generator, device) * _TILT
    tilt[:, -1] = 1.0
    along = inside.flatten(1, -2).sum(1)
    middle = torch.tensor([(side - 1) / 2 for side in size], device=device).repeat(b, 1)
    middle[:, -1] = (along * torch.arange(size[-1], device=device)).sum(1) / along.sum(1).clamp(min=1)
    side = ((centre - middle[:, None]) * tilt[:, None]).sum(-1).sign()
    free = (uniform(0, 1, (b, 1, 1), generator, device) >= sided) * 1e6
    return linear_form(size, middle, tilt).view(b, 1, -1) * side[..., None] + free


def draw_blobs(
    inside: Tensor,
    tissue: Tensor,
    *,
    counts: Sequence[float],
    smallest: float,
    largest: float,
    border: tuple[float, float],
    roughness: tuple[float, float],
    sided: float = 0.0,
    generator: torch.Generator | None,
) -> Blobs:
    """Draw blobs.

    Parameters
    ----------
    inside : Tensor
        ``(b, 1, *s)`` float32, 1 in the brain and 0 elsewhere.
    tissue : Tensor
        ``(b, 1, *s)`` float32: blobs are centred where this is above 0.9 of its largest, anywhere in the brain if it is
        0 everywhere.
    counts : sequence of float
        Weights of one, two, three, ... blobs in an image.
    smallest : float
        Fewest voxels of a blob, about.
    largest : float
        Most of the brain that an image's blobs take together, about. Between the two the logarithm of a blob's volume
        is uniform.
    border : (float, float)
        Range of the width of the edge, in voxels, over which the share falls from 0.9 to 0.1; one draw per image, and
        never more than a blob's radius.
    roughness : (float, float)
        Range of the standard deviation of the noise on outlines, relative to the radius; one draw per image.
    sided : float
        Share of images, 0 to 1, whose blobs stop at the plane between left and right (see `_own_side`).
    generator : torch.Generator, optional
        Source of the blobs.

    Returns
    -------
    Blobs
        Cut at the edge of the brain.
    """
    b, size, device = len(inside), inside.shape[2:], inside.device
    n, most, ones = len(size), len(counts), (1,) * (1 + len(size))
    # A trace of every voxel of the brain is what remains where there is no tissue.
    candidates = torch.add(tissue, inside, alpha=1e-3)
    limit = (0.9 * candidates.flatten(1).amax(1)).view(-1, *ones)
    centre = brain_points(candidates > limit, most, generator=generator)
    count = draw_counts(counts, b, generator, device)
    room = (largest * inside.flatten(1).sum(1, keepdim=True) / count).clamp(min=smallest)
    volume = smallest * (room / smallest) ** uniform(0, 1, (b, most), generator, device)
    # Noise on the radius adds to the mean volume, which is taken off again.
    rough = uniform(*roughness, (b, 1), generator, device)
    radius = (volume / ball_volume(n) / (1 + n * (n - 1) / 2 * rough.square())) ** (1 / n)
    stretch = uniform(-_ELONGATION, _ELONGATION, (b, most, n), generator, device)
    slope = turned(b, most, n, generator, device) * (-stretch + stretch.mean(-1, keepdim=True)).exp()[..., None]
    # Absent blobs are far away.
    absent = (torch.arange(most, device=device) >= count) * 1e6
    away = _square_distances(size, centre, slope / radius[..., None, None], absent).clamp_(min=0).sqrt_()
    level = smooth_noise((b, 1, *size), _RAGGED, generator, device).mul_(rough.view(-1, *ones)).clamp_(-0.7, 0.7)
    depths = away.neg_().add_(level.add_(1).flatten(2))
    if sided:
        depths = depths.minimum(_own_side(inside, centre, sided, generator).div_(radius[..., None]))
    depth = depths.amax(1).view(b, 1, *size)
    steep = _RISE * (radius / uniform(*border, (b, 1), generator, device)).clamp(min=1)
    share = depths.mul_(steep[..., None]).amax(1).view(b, 1, *size).sigmoid_().mul_(inside)
    # What a sigmoid leaves far away is nothing that anybody could see.
    return Blobs(functional.threshold(share, 0.01, 0.0, inplace=True), depth)
