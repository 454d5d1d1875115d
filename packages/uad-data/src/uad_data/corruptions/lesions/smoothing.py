"""Smoothing by one matrix product per axis: cheap for a batch, on any device, in 2D and 3D, with a width per image."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from uad_data.corruptions.draws import normal


def along_axes(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiply every spatial axis by a matrix.

    Parameters
    ----------
    x : Tensor
        ``(b, c, *s)``.
    matrices : sequence of Tensor
        For each axis ``(t, s)``, or ``(b, t, s)``: one for each image.

    Returns
    -------
    Tensor
        ``(b, c, *t)``.
    """
    for axis, matrix in enumerate(matrices, start=2):
        # Without a movement of axes, which would cost more than the product.
        is_last = axis == x.ndim - 1
        rows = x if is_last else x.flatten(axis + 1)
        wide = matrix if matrix.ndim == 2 else matrix.view(len(x), *[1] * (rows.ndim - 3), *matrix.shape[1:])
        rows = rows @ wide.mT if is_last else wide @ rows
        x = rows.view(*x.shape[:axis], matrix.shape[-2], *x.shape[axis + 1 :])
    return x


@lru_cache(maxsize=64)
def _hats(side: int, points: int, device: torch.device) -> Tensor:
    """Matrix ``(side, points)`` that interpolates linearly between evenly spaced points."""
    place = ((torch.arange(side, device=device) + 0.5) * (points / side) - 0.5).clamp(0, points - 1)
    return (1 - (place[:, None] - torch.arange(points, device=device)).abs()).relu()


def _gaussian(side: int, sd: Tensor) -> Tensor:
    """Matrix ``(..., side, side)`` that blurs, for standard deviations ``(...)``; it meets zeros beyond the edge."""
    reach = torch.arange(-side + 1, side, device=sd.device) / sd[..., None]
    # Cut at 1e-13, long before numbers get so small that they are slow.
    kernel = reach.square_().mul_(-0.5).clamp_(min=-30).exp_()
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return kernel.unfold(-1, side, 1).flip(-2)


@lru_cache(maxsize=16)
def _fixed_gaussian(side: int, sd: float, device: torch.device) -> Tensor:
    """Matrix ``(side, side)`` that blurs by a fixed width."""
    return _gaussian(side, torch.tensor(sd, device=device)).contiguous()


def blur(x: Tensor, sd: Tensor | float) -> Tensor:
    """Blur with a Gaussian, which beyond the image meets zeros.

    Parameters
    ----------
    x : Tensor
        ``(b, c, *s)`` float32.
    sd : Tensor or float
        Standard deviation in voxels, above 0: one for all, or ``(b,)`` float32, one for each image.

    Returns
    -------
    Tensor
        Like `x`.
    """
    if isinstance(sd, float):
        return along_axes(x, [_fixed_gaussian(side, sd, x.device) for side in x.shape[2:]])
    return along_axes(x, [_gaussian(side, sd) for side in x.shape[2:]])


def blur_inside(x: Tensor, where: Tensor, sd: Tensor) -> Tensor:
    """Blur what is inside a mask, nothing flowing in from outside.

    Parameters
    ----------
    x : Tensor
        ``(b, c, *s)`` float32.
    where : Tensor
        ``(b, 1, *s)`` float32, weight of each voxel.
    sd : Tensor
        See `blur`.

    Returns
    -------
    Tensor
        Like `x`; of use inside the mask only.
    """
    both = blur(torch.cat((x * where, where), dim=1), sd)
    return both[:, :-1] / both[:, -1:].clamp(min=1e-6)


def local_mean(x: Tensor, weight: Tensor, *, points: int = 8) -> Tensor:
    """Mean of the surroundings of every voxel.

    Parameters
    ----------
    x : Tensor
        ``(b, c, *s)`` float32.
    weight : Tensor
        ``(b, 1, *s)`` float32, at least 0: which voxels count.
    points : int
        Points along each axis that means are taken at; between them they are interpolated.

    Returns
    -------
    Tensor
        Like `x`. Where nothing counts, the mean of all that does; 0 if there is none.
    """
    hats = [_hats(side, points, x.device) for side in x.shape[2:]]
    sums = along_axes(torch.cat((x * weight, weight), dim=1), [hat.T for hat in hats])
    # A hundredth of the whole image's mean is mixed in, which decides where nothing is near.
    mixed = sums + 0.01 * sums.mean(tuple(range(2, x.ndim)), keepdim=True)
    return along_axes(mixed[:, :-1] / mixed[:, -1:].clamp(min=1e-6), hats)


def smooth_noise(
    shape: Sequence[int], points: Sequence[int], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Smooth noise of several scales, of about unit standard deviation.

    Parameters
    ----------
    shape : sequence of int
        ``(b, c, *s)``.
    points : sequence of int
        Points along each axis of every scale.
    generator : torch.Generator, optional
        Source of the noise.
    device : torch.device
        Where the result is wanted.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32.
    """
    b, c, *size = shape
    # Linear interpolation leaves two thirds of the variance along each axis.
    strength = (1.5 ** len(size) / len(points)) ** 0.5
    scales = []
    for count in points:
        coarse = normal((b, c, *[count] * len(size)), generator, device).mul_(strength)
        scales.append(along_axes(coarse, [_hats(side, count, device) for side in size]))
    noise = scales[0]
    for scale in scales[1:]:
        noise = noise.add_(scale)
    return noise
