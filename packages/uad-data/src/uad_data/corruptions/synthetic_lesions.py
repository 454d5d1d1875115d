"""Synthetic lesions: blobs with ragged, soft edges, brighter or darker than the tissue they lie in.

Paper: Kuznetsov and Simpson, "Self-supervised lesion segmentation" (poster, University of Sussex), which predicts on
healthy images "with synthesized anomalies" and compares their l2 distances with those of real lesions. The poster shows
the anomalies but does not say how they are made, so the recipe is ours: with q the distance from the lesion's centre in
units of its radii (an ellipse along the axes), and e smooth noise of unit standard deviation, the lesion's share of a
voxel is ``sigmoid((1 - q (1 + roughness e)) / softness)``, and the lesion adds that share of its contrast to the image.

Deviations from the poster: none that it states. Lesions are centred on a voxel of the brain and cut at its edge; one
may be bright in one channel and dark in another. No voxel gets darker than the darkest of the image.
"""

import torch
from torch import Tensor

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.coarse_noise import enlarge
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers, normal, uniform

#: Points per axis of the noise that makes edges ragged.
_RAGGED = 16


def _share(size: torch.Size, centre: Tensor, radius: Tensor, ragged: Tensor, softness: float) -> Tensor:
    """Share of a lesion in every voxel, ``(b, 1, *s)``; `centre` and `radius` are ``(b, n)``."""
    ones = (1,) * len(size)
    square = torch.zeros((), device=centre.device)
    for axis, side in enumerate(size):
        place = torch.arange(side, device=centre.device).view([side if a == axis else 1 for a in range(len(size))])
        square = square + ((place - centre[:, axis].view(-1, *ones)) / radius[:, axis].view(-1, *ones)).square()
    return ((1 - square.sqrt()[:, None] * (1 + ragged)) / softness).sigmoid()


@corruption
def synthetic_lesions(
    image: Tensor,
    brain: Tensor,
    *,
    count: tuple[int, int] = (1, 3),
    radius: tuple[float, float] = (0.04, 0.12),
    contrast: tuple[float, float] = (0.2, 0.6),
    bright: float = 0.5,
    roughness: float = 0.25,
    softness: float = 0.1,
    generator: torch.Generator | None = None,
) -> Blended:
    """Add lesions to each brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; scaled to about 0 to 1.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    count : (int, int)
        Fewest and most lesions per image.
    radius : (float, float)
        Range of the radius along each axis, as a share of the image's last side, above 0.
    contrast : (float, float)
        Range of what a lesion adds or takes away, in the unit of the image.
    bright : float
        Probability that a lesion adds rather than takes away, for each channel by itself.
    roughness : float
        How ragged the edge is: standard deviation, relative to the radius, of the noise on it; 0 makes ellipses.
    softness : float
        Width of the edge, relative to the radius, above 0.
    generator : torch.Generator, optional
        Source of the lesions.

    Returns
    -------
    Blended
        The image, the voxels that are lesion by half or more, and the lesion's share of each voxel.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, c, size, device = len(image), image.shape[1], image.shape[2:], image.device
    n, most = len(size), count[1]
    centre = brain_points(brain, most, generator=generator)
    radii = uniform(*radius, (b, most, n), generator, device) * size[-1]
    sign = torch.where(uniform(0, 1, (b, most, c), generator, device) < bright, 1.0, -1.0)
    added = sign * uniform(*contrast, (b, most, c), generator, device)
    present = torch.arange(most, device=device) < integers(*count, (b, 1), generator, device)
    ragged = normal((b, most, *[_RAGGED] * n), generator, device) * roughness
    ragged = enlarge(ragged, size, torch.zeros((b, n), dtype=torch.int64, device=device))
    result, soft = image.float(), torch.zeros(brain.shape, device=device)
    for k in range(most):
        share = _share(size, centre[:, k], radii[:, k], ragged[:, k, None], softness)
        share = share * (brain & present[:, k].view(-1, 1, *[1] * n))
        result = result + share * added[:, k].view(b, c, *[1] * n)
        soft = soft.maximum(share)
    darkest = image.flatten(2).amin(-1).float().view(b, c, *[1] * n)
    return Blended(result.maximum(darkest).to(image.dtype), soft >= 0.5, soft)
