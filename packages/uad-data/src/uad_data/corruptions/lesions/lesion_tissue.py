"""What lesions are filled with: the local tissue, brighter or darker, with a texture of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import Blobs
from uad_data.corruptions.lesions.sequences import SequencePrior, draw_contrast, draw_fluid
from uad_data.corruptions.lesions.smoothing import local_mean, smooth_noise

#: Points along each axis of the texture's noise.
_TEXTURE = (8, 24)
#: Of the images whose lesions have a core, the share in which it is fluid or dead tissue.
_FLUID = 0.6
#: Range of the depth at which a core begins: 0 is the lesion's edge and 1 its centre.
_CORE_DEPTH = (0.2, 0.7)


def fill_lesions(
    image: Tensor,
    inside: Tensor,
    tissue: Tensor,
    blobs: Blobs,
    *,
    sequences: Sequence[SequencePrior],
    texture: tuple[float, float],
    keep: tuple[float, float],
    cored: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Fill blobs with lesions.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)`` float32.
    inside : Tensor
        ``(b, 1, *s)`` float32, 1 in the brain and 0 elsewhere.
    tissue : Tensor
        ``(b, 1, *s)`` float32, share of tissue; what lesions are brighter or darker than.
    blobs : Blobs
        Where.
    sequences : sequence of SequencePrior
        One for each channel, or one for all.
    texture : (float, float)
        Range of the standard deviation of the smooth noise inside, relative to a lesion's mean.
    keep : (float, float)
        Range of how much of the image's own deviation from the local mean (structure and noise) stays, 0 to 1.
    cored : float
        Share of images whose lesions have a core of another contrast (clot, cyst, cavity, necrosis), 0 to 1.
    generator : torch.Generator, optional
        Source of contrast and texture.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32; inside the brain no voxel is darker than the darkest of the brain.
    """
    (b, c), size, device = image.shape[:2], image.shape[2:], image.device
    ones = (1,) * len(size)
    around = local_mean(image, tissue)
    level = draw_contrast(sequences, (b, c), generator, device).view(b, c, *ones)
    core = draw_contrast(sequences, (b, c), generator, device).view(b, c, *ones)
    fluid = draw_fluid(sequences, (b, c), generator, device).view(b, c, *ones)
    kind = uniform(0, 1, (b, 1, *ones), generator, device)
    core = torch.where(kind < cored * _FLUID, fluid, core)
    strength = uniform(*texture, (b, 1, *ones), generator, device)
    noise = smooth_noise((b, c, *size), _TEXTURE, generator, device).mul_(strength)
    kept = uniform(*keep, (b, 1, *ones), generator, device)
    begin = uniform(*_CORE_DEPTH, (b, 1, *ones), generator, device)
    inner = blobs.depth.sub(begin).mul_(10).sigmoid_().mul_(kind < cored)
    lesion = (inner * (core - level)).add_(level).mul_(noise.add_(1)).mul_(around)
    # Own structure: kept * (image - around), then the step from the image to the lesion, by the blob's share.
    change = lesion.add_((image - around).mul_(kept)).sub_(image).mul_(blobs.share)
    darkest = image.sub(inside - 1, alpha=1e6).flatten(2).amin(-1).view(b, c, *ones)
    return change.add_(image).maximum(image.minimum(darkest))
