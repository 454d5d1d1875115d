"""Context mask: patches of the brain masked out, to be filled in from what is around them.

Papers: Pathak et al., "Context encoders: feature learning by inpainting", CVPR 2016
(https://arxiv.org/abs/1604.07379); Zimmerer et al., "Context-encoding variational autoencoder for unsupervised anomaly
detection", 2018 (https://arxiv.org/abs/1812.05941), whose squares have sides up to half of the image's. Gubaidullin's
"Context variational autoencoder" describes the same: "local patches of the input are masked out".

Deviations: squares of at least 1/8 of the side, at least one and at most three per image, centred on a voxel of the
brain and cut at its edge; masked with one value (0), where the authors of 2018 draw a value for each square.
"""

import torch
from torch import Tensor

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Corrupted
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers


@corruption
def context_mask(
    image: Tensor,
    brain: Tensor,
    *,
    count: tuple[int, int] = (1, 3),
    sides: tuple[float, float] = (1 / 8, 1 / 2),
    fill: float = 0.0,
    generator: torch.Generator | None = None,
) -> Corrupted:
    """Mask out squares (in volumes cubes) of the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    count : (int, int)
        Fewest and most patches per image.
    sides : (float, float)
        Smallest and largest side of a patch, as a share of the image's longest side.
    fill : float
        Value of masked voxels, in the unit of the image.
    generator : torch.Generator, optional
        Source of the patches.

    Returns
    -------
    Corrupted
        The image, and which voxels are masked.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, most, size, device = len(image), count[1], image.shape[2:], image.device
    smallest, largest = (max(1, round(share * max(size))) for share in sides)
    side = integers(smallest, largest, (b, most), generator, device)
    start = brain_points(brain, most, generator=generator) - side[..., None] // 2
    present = torch.arange(most, device=device) < integers(*count, (b, 1), generator, device)
    lines, *between, last = (
        ((place >= start[..., axis, None]) & (place < (start[..., axis] + side)[..., None])).float()
        for axis, place in enumerate(torch.arange(length, device=device) for length in size)
    )
    # How many squares cover a voxel is a sum over squares of a product over axes.
    for axis in between:
        lines = (lines[..., None] * axis[..., None, :]).flatten(2)
    covering = (lines * present[..., None]).mT @ last
    mask = (covering > 0).view(brain.shape) & brain
    return Corrupted(image.masked_fill(mask, fill), mask)
