"""Patch swap: two patches of the brain change places, to be put back (context restoration).

Papers: Chen et al., "Self-supervised learning for medical image analysis using image context restoration", Medical
Image Analysis 2019, which repeats the swap; the thesis on CT by context restoration and multi-task learning, section
5.2.2: "two points are extracted from non-zero parts of the image in axial orientation and then a patch of size 1/8
image size is created with the extracted point at center of the patch. These patches are then swapped."

Deviations: patches are moved to lie inside the image and never overlap (Chen et al.); voxels are swapped where both
patches are brain, so that the outline of the brain stays and no background enters it. In volumes the patches are
blocks.
"""

import torch
from torch import Tensor

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Corrupted
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.windows import read_windows, window_index, write_windows

#: Second points that are tried for one that is far enough from the first.
_TRIES = 8


@corruption
def patch_swap(
    image: Tensor,
    brain: Tensor,
    *,
    side: float = 1 / 8,
    swaps: int = 1,
    generator: torch.Generator | None = None,
) -> Corrupted:
    """Swap patches of the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    side : float
        Side of a patch along each axis, as a share of the image's, above 0 and at most 1/2.
    swaps : int
        How often two patches are swapped, one swap after the other, at least 1.
    generator : torch.Generator, optional
        Source of the patches' places.

    Returns
    -------
    Corrupted
        The image, and which voxels were swapped. An image whose brain has no room for two patches is left as it is.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    size, device = image.shape[2:], image.device
    sides = [max(1, round(side * length)) for length in size]
    points = brain_points(brain, swaps * (1 + _TRIES), generator=generator)
    extent = torch.tensor(sides, device=device)
    starts = (points - extent // 2).clamp(min=0).minimum(torch.tensor(size, device=device) - extent)
    swapped, mask = image.clone(memory_format=torch.contiguous_format), torch.zeros_like(brain)
    for start in starts.chunk(swaps, dim=1):
        first, others = start[:, 0], start[:, 1:]
        apart = ((others - first[:, None]).abs() >= extent).any(-1)
        choice = apart.byte().argmax(1)[:, None, None].expand(-1, 1, len(size))
        pair = torch.cat((first[:, None], others.gather(1, choice)), dim=1)
        index = window_index(pair.flatten(0, 1), sides, size).view(len(image), 1, 2, *sides)
        both = read_windows(brain, index).all(2, keepdim=True) & apart.any(1).view(-1, 1, *[1] * (1 + len(size)))
        own = read_windows(swapped, index)
        write_windows(swapped, index, torch.where(both, own.flip(2), own))
        write_windows(mask, index, read_windows(mask, index) | both)
    return Corrupted(swapped, mask)
