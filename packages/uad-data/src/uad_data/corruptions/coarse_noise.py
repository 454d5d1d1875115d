"""Coarse noise: Gaussian noise of low resolution, enlarged, shifted and added inside the brain.

Paper: Kascenas et al., "The role of noise in denoising models for anomaly detection in medical images", Medical Image
Analysis 2023 (https://arxiv.org/abs/2301.08330), as used by Holzschuh et al., MIDL 2023: noise drawn at 16x16 per pixel
and channel, upsampled bilinearly to the image, randomly shifted so that the upsampling leaves no fixed pattern.
"""

import torch
from torch import Tensor
from torch.nn import functional

_LINEAR = {2: "bilinear", 3: "trilinear"}


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
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; 0 outside the brain.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    sd : float
        Standard deviation of the coarse noise, in the unit of the image, at least 0.
    resolution : int
        Points per axis that the noise is drawn at, at least 1.
    generator : torch.Generator, optional
        Source of the noise, on the image's device.

    Returns
    -------
    Tensor
        Like `image`. Every image and channel has its own noise; every image its own shift, with wrap-around.
    """
    size, device = image.shape[2:], image.device
    coarse = torch.randn((*image.shape[:2], *[resolution] * len(size)), generator=generator, device=device)
    noise = functional.interpolate(coarse * sd, size=size, mode=_LINEAR[len(size)], align_corners=False)
    shifts = [torch.randint(side, (len(image),), generator=generator, device=device) for side in size]
    for axis, (side, shift) in enumerate(zip(size, shifts, strict=True), start=2):
        place = (torch.arange(side, device=device) - shift[:, None]) % side
        index = place.reshape(len(image), 1, *[side if other == axis else 1 for other in range(2, image.ndim)])
        noise = noise.gather(axis, index.expand_as(noise))
    return image + noise.to(image.dtype) * brain
