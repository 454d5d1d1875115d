"""Blur or noise: a region that has lost its detail, or is noisier than the rest.

Papers: the local smoothing of Isensee et al., batchgenerators (https://github.com/MIC-DKFZ/batchgenerators), used
there as augmentation; noise inside a shape as an anomaly to be found is in Zavrtanik et al., DRAEM, ICCV 2021
(https://arxiv.org/abs/2108.07610), and in Kascenas et al., MIDL 2022 (https://arxiv.org/abs/2110.08137).

Deviations: in a ragged blob; an image is either blurred or made noisier; the noise is white or slightly smooth, and its
strength relative to the mean of the brain. What is labelled is the whole region: blur changes a flat voxel by nothing.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import normal, uniform
from uad_data.corruptions.lesions.blobs import draw_blobs
from uad_data.corruptions.lesions.smoothing import blur, blur_inside
from uad_data.corruptions.lesions.tissue import brain_mean, tissue_share


@corruption
def blur_noise(
    image: Tensor,
    brain: Tensor,
    *,
    counts: Sequence[float] = (3, 1),
    smallest: float = 20.0,
    largest: float = 0.25,
    blurred: float = 0.5,
    width: tuple[float, float] = (1.0, 3.0),
    noise: tuple[float, float] = (0.08, 0.3),
    generator: torch.Generator | None = None,
) -> Blended:
    """Blur regions of each brain, or add noise to them.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    counts, smallest, largest
        See `field_blobs`.
    blurred : float
        Probability that an image is blurred rather than made noisier.
    width : (float, float)
        Range of the standard deviation of the blur, in voxels, above 0.
    noise : (float, float)
        Range of the standard deviation of the noise, relative to the mean of the brain.
    generator : torch.Generator, optional
        Source of regions and noise.

    Returns
    -------
    Blended
        The image, the voxels that are in a region by half or more, and the region's share of each voxel.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, device, ones = len(image), image.device, (1,) * (image.ndim - 1)
    plain, inside = image.float(), brain.float()
    share = draw_blobs(
        inside,
        tissue_share(plain, inside),
        counts=counts,
        smallest=smallest,
        largest=largest,
        border=(1.0, 3.0),
        roughness=(0.1, 0.6),
        generator=generator,
    ).share
    mean = brain_mean(plain, inside)
    strength = uniform(*noise, (b, *ones), generator, device) * mean
    grain = normal(image.shape, generator, device)
    # Smoothing by half a voxel or more weakens noise: it is divided by what is left of its standard deviation.
    fine = uniform(0.3, 1.0, (b,), generator, device)
    weight = blur(torch.ones_like(grain[:, :1]), fine).clamp(min=1e-6)
    left = (2 * math.pi**0.5 * fine).clamp(min=1).reciprocal() ** ((image.ndim - 2) / 2)
    noisy = plain + strength * (blur(grain, fine) / weight) / left.view(-1, *ones)
    smooth = blur_inside(plain, inside, uniform(*width, (b,), generator, device))
    chosen = uniform(0, 1, (b, *ones), generator, device) < blurred
    changed = torch.where(chosen, smooth, noisy)
    # Positive, because 0 stands for outside the brain.
    result = (plain + share * (changed - plain)).maximum(plain.minimum(0.02 * mean))
    return Blended(result.to(image.dtype), share >= 0.5, share)
