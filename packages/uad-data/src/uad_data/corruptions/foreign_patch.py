"""Foreign patch: a patch of another image blended in so that no edge shows (Poisson image interpolation).

Papers: Tan et al., "Detecting outliers with Poisson image interpolation", MICCAI 2021
(https://arxiv.org/abs/2107.02622), after Tan et al., "Detecting outliers with foreign patch interpolation", MELBA 2022
(https://arxiv.org/abs/2011.04197), and Pérez et al., "Poisson image editing", SIGGRAPH 2003. Inside the patch the image
f solves ``Laplacian f = div v``, with f unchanged on the rim; along each edge the field v is the stronger of
``(1 - alpha)`` times the image's gradient and ``alpha`` times the foreign one. Square patches of half-width 5 % to 20 %
of the side, alpha from 0.05 to 0.95, the result cut to the image's own range, and alpha as label where voxels changed.

Deviations: patches are centred on a voxel of the brain (the authors: in the central 80 %) and only the brain is
changed; the foreign image is another one of the batch, at a random distance in it. A batch of one image has no other:
its patch is its own, with contrast lowered. In volumes the patches are cubes (the authors blend slice by slice).
"""

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers, uniform
from uad_data.corruptions.poisson import solve_poisson
from uad_data.corruptions.windows import read_windows, window_axes, window_index, write_windows


def _excess(own: Tensor, foreign: Tensor, alpha: Tensor) -> Tensor:
    """Divergence of the mixed gradients minus the own Laplacian, for the inner voxels of ``(b, c, *m)``."""
    n = own.ndim - 2
    total = torch.zeros((), device=own.device)
    for axis in range(2, own.ndim):
        ours, theirs = own.diff(dim=axis), foreign.diff(dim=axis)
        weak, strong = (1 - alpha) * ours, alpha * theirs
        field = torch.where(weak.abs() > strong.abs(), weak, strong) - ours
        inner = tuple(slice(None) if other == axis else slice(1, -1) for other in range(2, 2 + n))
        total = total + field.diff(dim=axis)[(..., *inner)]
    return total


@corruption
def foreign_patch(
    image: Tensor,
    brain: Tensor,
    *,
    foreign: Tensor | None = None,
    half_width: tuple[float, float] = (0.05, 0.2),
    alpha: tuple[float, float] = (0.05, 0.95),
    tolerance: float = 0.01,
    generator: torch.Generator | None = None,
) -> Blended:
    """Blend a patch of another image of the batch into each image.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``, every side at least 3.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    foreign : Tensor, optional
        ``(b, c, *s)``, images that patches are taken from; by default another one of the batch.
    half_width : (float, float)
        Least and most half-width of a patch, as a share of the last side.
    alpha : (float, float)
        Range of the share of the foreign image, within 0 to 1.
    tolerance : float
        Voxels that change by no more than this in every channel are not labelled, in the unit of the image.
    generator : torch.Generator, optional
        Source of patches and shares.

    Returns
    -------
    Blended
        The image, which voxels changed, and alpha there.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, size, device = len(image), image.shape[2:], image.device
    n = len(size)
    least, most = (max(1, round(share * size[-1])) for share in half_width)
    centre = brain_points(brain, 1, generator=generator)[:, 0]
    half = integers(least, most, (b, 1), generator, device)
    share = uniform(*alpha, (b, *[1] * (n + 1)), generator, device)
    if foreign is None:
        step = integers(min(1, b - 1), max(0, b - 1), (), generator, device)
        foreign = image[(torch.arange(b, device=device) + step) % b]
    # The rim of one voxel around a patch is given, so the patch leaves out the outermost voxels of the image.
    limit = torch.tensor(size, device=device) - 1
    centre = centre.clamp(min=1).minimum(limit - 1)
    low, high = (centre - half).clamp(min=1), (centre + half).minimum(limit)
    sides = [min(2 * most, side - 2) + 2 for side in size]
    index = window_index(low - 1, sides, size)
    own = read_windows(image, index).float()
    theirs = read_windows(foreign, index).float()
    change = functional.pad(solve_poisson(_excess(own, theirs, share), high - low), [1, 1] * n)
    lightest, darkest = image.flatten(2).amax(-1), image.flatten(2).amin(-1)
    bounds = [bound.float().view(*bound.shape, *[1] * n) for bound in (darkest, lightest)]
    inside = torch.ones((), dtype=torch.bool, device=device)
    for axis, place in enumerate(window_axes(low - 1, sides)):
        inside = inside & (place >= low[:, axis].view(-1, *[1] * n)) & (place < high[:, axis].view(-1, *[1] * n))
    inside = inside[:, None] & read_windows(brain, index)
    blended = torch.where(inside, (own + change).clamp(*bounds), own)
    changed = inside & ((blended - own).abs() > tolerance).any(1, keepdim=True)
    result, mask = image.clone(memory_format=torch.contiguous_format), torch.zeros_like(brain)
    soft = torch.zeros(brain.shape, device=device)
    write_windows(result, index, blended)
    write_windows(mask, index, changed)
    write_windows(soft, index, share * changed)
    return Blended(result, mask, soft)
