"""Intensity shift: a region whose intensity and contrast drift smoothly away from normal.

Papers: the smooth intensity change of Baugh et al., "Many tasks make light work", MICCAI 2023
(https://arxiv.org/abs/2307.00899), which adds a constant to a shape, fading to its edge; the local gamma, contrast and
brightness transforms of Isensee et al., batchgenerators (https://github.com/MIC-DKFZ/batchgenerators).

Deviations: intensity is multiplied by a smooth random field rather than shifted by a constant, its mean drawn from a
prior for each sequence; contrast about the mean of the brain is scaled as well; regions are ragged, with edges of
several voxels; the label is how visible the change is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import draw_blobs
from uad_data.corruptions.lesions.sequences import SEQUENCES, SequencePrior, draw_contrast
from uad_data.corruptions.lesions.smoothing import smooth_noise
from uad_data.corruptions.lesions.tissue import brain_mean, tissue_share
from uad_data.corruptions.lesions.visible_change import visible_change


@corruption
def intensity_shift(
    image: Tensor,
    brain: Tensor,
    *,
    counts: Sequence[float] = (3, 1),
    smallest: float = 20.0,
    largest: float = 0.25,
    sequences: Sequence[SequencePrior] = (SEQUENCES["flair"],),
    border: tuple[float, float] = (3.0, 12.0),
    contrast: tuple[float, float] = (0.4, 1.4),
    drift: float = 0.1,
    generator: torch.Generator | None = None,
) -> Blended:
    """Shift intensity and contrast of regions of each brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    counts, smallest, largest, sequences
        See `field_blobs`.
    border : (float, float)
        Range of the width of the edge, in voxels, above 0.
    contrast : (float, float)
        Range of what differences from the brain's mean are multiplied by, at least 0.
    drift : float
        Standard deviation of the field that intensity is multiplied by.
    generator : torch.Generator, optional
        Source of regions and shifts.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and how visible it is.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit, or there are too many or too few sequences.
    """
    (b, c), size, device = image.shape[:2], image.shape[2:], image.device
    ones, plain, inside = (1,) * len(size), image.float(), brain.float()
    share = draw_blobs(
        inside,
        tissue_share(plain, inside),
        counts=counts,
        smallest=smallest,
        largest=largest,
        border=border,
        roughness=(0.2, 0.6),
        generator=generator,
    ).share
    gain = draw_contrast(sequences, (b, c), generator, device).view(b, c, *ones)
    gain = gain * smooth_noise((b, c, *size), (5,), generator, device).mul_(drift).add_(1)
    scaled, mean = uniform(*contrast, (b, c, *ones), generator, device), brain_mean(plain, inside)
    shifted = (mean + scaled * (plain - mean)) * gain
    # Positive, because 0 stands for outside the brain.
    result = (plain + share * (shifted - plain)).maximum(plain.minimum(0.02 * mean))
    soft = visible_change(plain, result, inside)
    return Blended(result.to(image.dtype), soft >= 0.5, soft)
