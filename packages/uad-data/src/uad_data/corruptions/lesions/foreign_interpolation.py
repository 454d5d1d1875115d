"""Foreign interpolation: part of another brain, shining through (foreign patch interpolation, FPI).

Paper: Tan et al., "Detecting outliers with foreign patch interpolation", MELBA 2022 (https://arxiv.org/abs/2011.04197):
inside a patch the image is ``(1 - alpha) own + alpha foreign``, alpha from 0.05 to 0.95, which is also the label.
Blobs instead of squares, as in Naval Marimont et al., "DISYRE", ISBI 2024 (https://arxiv.org/abs/2311.15453), which
draws random shapes so that no network learns to look for straight edges.

Deviations: the foreign image is another one of the batch, mirrored left to right; only where both are brain; the hard
label is where the change is visible.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import draw_blobs
from uad_data.corruptions.lesions.donors import mirrored_others
from uad_data.corruptions.lesions.visible_change import visible_change


@corruption
def foreign_interpolation(
    image: Tensor,
    brain: Tensor,
    *,
    foreign: Tensor | None = None,
    counts: Sequence[float] = (3, 1),
    smallest: float = 20.0,
    largest: float = 0.25,
    alpha: tuple[float, float] = (0.05, 0.95),
    border: tuple[float, float] = (0.5, 2.0),
    generator: torch.Generator | None = None,
) -> Blended:
    """Let another image of the batch shine through in blobs.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    foreign : Tensor, optional
        ``(b, c, *s)``, what shines through, 0 outside its brain; by default another image of the batch, mirrored.
    counts, smallest, largest, border
        See `field_blobs`.
    alpha : (float, float)
        Range of the share of the foreign image, within 0 to 1; one draw per image.
    generator : torch.Generator, optional
        Source of blobs and shares.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and the foreign image's share of each voxel.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    plain = image.float()
    other = (mirrored_others(image, generator) if foreign is None else foreign).float()
    inside = brain.float()
    both = (other != 0).all(1, keepdim=True) * inside
    share = draw_blobs(
        both,
        both,
        counts=counts,
        smallest=smallest,
        largest=largest,
        border=border,
        roughness=(0.1, 0.6),
        generator=generator,
    ).share
    soft = share * uniform(*alpha, (len(image), *[1] * (image.ndim - 1)), generator, image.device)
    result = plain + soft * (other - plain)
    mask = visible_change(plain, result, inside).minimum(1e3 * soft) >= 0.5
    return Blended(result.to(image.dtype), mask, soft)
