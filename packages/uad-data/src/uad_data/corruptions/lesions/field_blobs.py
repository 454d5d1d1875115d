"""Field blobs: lesions as ragged blobs of brighter or darker tissue, one to many, small to large.

Papers: the idea of cutting lesions out of smooth random fields, filling them with textured tissue of another intensity
and training a segmentation network on nothing else is that of Hu et al., "Label-free liver tumor segmentation", CVPR
2023 (https://arxiv.org/abs/2303.14869), where noise deforms ellipsoids and fills them, and of Chen et al., "Towards
generalizable tumor synthesis", CVPR 2024 (https://arxiv.org/abs/2402.19470).

Deviations: nothing is simulated of the organ; contrast is relative to the mean of the tissue around, drawn from a prior
for each sequence; many lesions of an image share it, as in one disease. In some images a core has another one, often
that of fluid. Lesions are centred in tissue; in half of the images they spare the fluid that they reach, to a random
degree.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import Blobs, draw_blobs
from uad_data.corruptions.lesions.lesion_tissue import fill_lesions
from uad_data.corruptions.lesions.sequences import SEQUENCES, SequencePrior
from uad_data.corruptions.lesions.tissue import tissue_share


@corruption
def field_blobs(
    image: Tensor,
    brain: Tensor,
    *,
    counts: Sequence[float] = (5, 2, 1, 1, 0.5, 0.5),
    smallest: float = 4.0,
    largest: float = 0.25,
    sequences: Sequence[SequencePrior] = (SEQUENCES["flair"],),
    border: tuple[float, float] = (0.5, 2.0),
    roughness: tuple[float, float] = (0.1, 0.6),
    texture: tuple[float, float] = (0.02, 0.25),
    keep: tuple[float, float] = (0.3, 1.0),
    cored: float = 0.3,
    sided: float = 0.3,
    generator: torch.Generator | None = None,
) -> Blended:
    """Grow lesions in each brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    counts : sequence of float
        Weights of one, two, three, ... lesions in an image.
    smallest : float
        Fewest voxels of a lesion, about.
    largest : float
        Most of the brain that an image's lesions take together, about; log volumes are uniform between the two.
    sequences : sequence of SequencePrior
        Sign and strength of the contrast: one for each channel, or one for all.
    border : (float, float)
        Range of the width of the edge, in voxels, above 0.
    roughness : (float, float)
        Range of the standard deviation of the noise on outlines, relative to the radius; 0 makes ellipsoids.
    texture : (float, float)
        Range of the standard deviation of the smooth noise inside, relative to a lesion's mean.
    keep : (float, float)
        Range of how much of the image's own structure and noise stays inside, 0 to 1.
    cored : float
        Share of images whose lesions have a core of another contrast, 0 to 1.
    sided : float
        Share of images whose lesions stop at the plane between left and right, as those in an artery's territory do.
    generator : torch.Generator, optional
        Source of the lesions.

    Returns
    -------
    Blended
        The image, the voxels that are lesion by half or more, and the lesion's share of each voxel.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit, or there are too many or too few sequences.
    """
    plain, inside = image.float(), brain.float()
    tissue = tissue_share(plain, inside)
    blobs = draw_blobs(
        inside,
        tissue,
        counts=counts,
        smallest=smallest,
        largest=largest,
        border=border,
        roughness=roughness,
        sided=sided,
        generator=generator,
    )
    spared = uniform(-1, 1, (len(image), *[1] * (image.ndim - 1)), generator, image.device).clamp_(min=0)
    # Only where there is tissue around: a brain of one intensity has nothing to spare.
    share = blobs.share * (1 - spared * (1 - tissue))
    blobs = Blobs(share, blobs.depth)
    filled = fill_lesions(
        plain,
        inside,
        tissue,
        blobs,
        sequences=sequences,
        texture=texture,
        keep=keep,
        cored=cored,
        generator=generator,
    )
    return Blended(filled.to(image.dtype), share >= 0.5, share)
