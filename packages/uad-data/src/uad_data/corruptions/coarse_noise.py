"""Coarse noise: Gaussian noise of low resolution, enlarged, shifted and added inside the brain.

Paper: Kascenas et al., "The role of noise in denoising models for anomaly detection in medical images", Medical Image
Analysis 2023 (https://arxiv.org/abs/2301.08330), as used by Holzschuh et al., MIDL 2023: noise drawn at 16x16 per pixel
and channel, upsampled bilinearly to the image, randomly shifted so that the upsampling leaves no fixed pattern.

Deviations: every image has its own shift (the authors' code shifts a batch alike); volumes are enlarged trilinearly.
Enlarging and shifting are one matrix product per axis, because both are linear and act on each axis by itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.corruption import add_inside, corruption
from uad_data.corruptions.draws import integers, normal


def enlarge(coarse: Tensor, size: Sequence[int], shift: Tensor) -> Tensor:
    """Enlarge noise linearly to the size of an image, then shift it with wrap-around.

    Parameters
    ----------
    coarse : Tensor
        ``(b, c, r, ...)`` float32, r points along each spatial axis.
    size : sequence of int
        Size ``*s`` of the image.
    shift : Tensor
        ``(b, n)`` int64, voxels towards higher index along each axis.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32.
    """
    noise = coarse
    for axis, side in enumerate(size, start=2):
        points = coarse.shape[axis]
        place = (torch.arange(side, device=coarse.device) - shift[:, axis - 2, None]) % side
        place = ((place + 0.5) * (points / side) - 0.5).clamp(0, points - 1)
        # Linear interpolation: a point's weight falls from 1 to 0 over the distance to the next.
        weights = 1 - (place[:, None] - torch.arange(points, device=coarse.device)[:, None]).abs_()
        # The axis in hand is brought last, so that it is the one that the product runs over.
        rows = noise.movedim(axis, -1)
        noise = (rows.flatten(1, -2) @ weights.relu_()).view(*rows.shape[:-1], side).movedim(-1, axis)
    return noise.contiguous()


@corruption
def coarse_noise(
    image: Tensor,
    brain: Tensor,
    *,
    sd: float = 0.2,
    resolution: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add coarse noise inside the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    sd : float
        Standard deviation of the noise as drawn, in the unit of the image, at least 0; enlarging averages, so that the
        noise added is a little weaker.
    resolution : int
        Points per axis that the noise is drawn at, at least 1.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    Tensor
        Like `image`. Every image and channel has its own noise; every image its own shift, with wrap-around.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    size = image.shape[2:]
    coarse = normal((*image.shape[:2], *[resolution] * len(size)), generator, image.device)
    shift = torch.stack([integers(0, side - 1, (len(image),), generator, image.device) for side in size], dim=1)
    noise = enlarge(coarse.mul_(sd), size, shift)
    return add_inside(image, brain, noise)
