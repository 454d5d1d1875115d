"""DRAEM texture: foreign texture laid over patches cut out of Perlin noise.

Paper: Zavrtanik et al., "DRAEM: a discriminatively trained reconstruction embedding for surface anomaly detection",
ICCV 2021 (https://arxiv.org/abs/2108.07610), section 3.3: Perlin noise above a threshold is the mask, and inside it the
image is ``(1 - beta) image + beta texture``, beta from 0.1 to 1 (here from 0.3: fainter than that nobody sees it).

Deviations: the textures are not photographs (the authors take them from the Describable Textures Dataset): in half of
the images Perlin noise around the mean of the brain, in one half of these cut to two levels, in the others another
image of the batch upside down. The threshold is drawn for each image and never above the noise's maximum in the brain,
so that no mask is empty. The soft label is beta; the hard one is where the change is visible.
"""

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.donors import mirrored_others
from uad_data.corruptions.lesions.perlin import perlin_noise
from uad_data.corruptions.lesions.tissue import brain_mean
from uad_data.corruptions.lesions.visible_change import visible_change

#: Range of the texture's lattice, in cells along an axis.
_TEXTURE = (6, 24)


@corruption
def draem_texture(
    image: Tensor,
    brain: Tensor,
    *,
    foreign: Tensor | None = None,
    cells: tuple[int, int] = (2, 6),
    threshold: tuple[float, float] = (0.15, 0.4),
    opacity: tuple[float, float] = (0.3, 1.0),
    generator: torch.Generator | None = None,
) -> Blended:
    """Lay texture over patches of each brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    foreign : Tensor, optional
        ``(b, c, *s)``, images that texture is taken from; by default another one of the batch.
    cells : (int, int)
        Range of the size of the lattice that patches are cut from, in cells along an axis, at least 1.
    threshold : (float, float)
        Range of the threshold of the noise, 0 to 1.
    opacity : (float, float)
        Range of beta, 0 to 1.
    generator : torch.Generator, optional
        Source of patches and texture.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and the texture's share of each voxel.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    (b, c), size, device = image.shape[:2], image.shape[2:], image.device
    n, ones, plain, inside = len(size), (1,) * (image.ndim - 1), image.float(), brain.float()
    field = perlin_noise(
        size, uniform(*cells, (b, n), generator, device), most=cells[1], generator=generator, device=device
    )
    top = field.add(inside - 1, alpha=2).flatten(1).amax(1).view(-1, *ones)
    level = uniform(*threshold, (b, *ones), generator, device).minimum(top - 0.1 * top.abs())
    # An edge of about a voxel, where the authors' masks are binary.
    share = ((field - level) * 20 + 0.5).clamp_(0, 1).mul_(inside)
    mean = brain_mean(plain, inside)
    grain = perlin_noise(
        size, uniform(*_TEXTURE, (b, n), generator, device), most=_TEXTURE[1], generator=generator, device=device
    )
    kind = uniform(0, 1, (b, *ones), generator, device)
    flat, whole = (kind < 0.25).float(), (kind < 0.5).float()
    grain = grain * (2 - 2 * flat) + grain.sign() * (0.5 * flat)
    around = uniform(0.5, 1.6, (b, c, *ones[1:]), generator, device) * mean
    drawn = around * (1 + uniform(0.2, 0.7, (b, *ones), generator, device) * grain)
    other = (mirrored_others(image, generator) if foreign is None else foreign).float().flip(-2)
    texture = (other + (drawn - other) * whole.maximum(other == 0)).maximum(0.02 * mean)
    soft = share * uniform(*opacity, (b, *ones), generator, device)
    result = plain + soft * (texture - plain)
    mask = visible_change(plain, result, inside).minimum(1e3 * soft) >= 0.5
    return Blended(result.to(image.dtype), mask, soft)
