"""Natural synthetic anomalies (NSA): patches of another image, resized and blended in so that no edge shows.

Paper: Schlüter et al., "Natural synthetic anomalies for self-supervised anomaly detection and localization", ECCV 2022
(https://arxiv.org/abs/2109.15222): up to three patches; half-widths along each axis 0.03 plus a Gamma variable of shape
2 and scale 0.05, cut at 0.4 of the side; resized by a normal factor; seamless cloning (Pérez et al., "Poisson image
editing", SIGGRAPH 2003): inside, the Laplacian is the foreign patch's, and the rim is the image's own. The label is
logistic in the change of intensity, see `visible_change`.

Deviations: half-widths are cut at 0.2; patches are centred on a voxel of either brain, where the authors ask for a
share of object in them; the foreign image is another one of the batch, mirrored left to right; only brain is changed;
what is not brain is taken to be of the brain's mean; patches of one image are solved for side by side, a later one
lies over an earlier one. Volumes: cuboids.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers, normal, uniform
from uad_data.corruptions.lesions.donors import mirrored_others
from uad_data.corruptions.lesions.tissue import brain_mean
from uad_data.corruptions.lesions.visible_change import visible_change
from uad_data.corruptions.poisson import solve_poisson
from uad_data.corruptions.windows import read_windows, window_axes, window_index, write_windows


def _resized(foreign: Tensor, centre: Tensor, place: list[Tensor], to: Tensor, factor: Tensor, most: int) -> Tensor:
    """Foreign image around `centre (b k, n)`, enlarged by `factor (b k, 1)` about it, at voxels `place` around `to`."""
    n, coordinates = len(place), []
    for axis in reversed(range(n)):
        ones = (1,) * n
        away = (place[axis] - to[:, axis].view(-1, *ones)) / factor.view(-1, *ones) + centre[:, axis].view(-1, *ones)
        side = foreign.shape[2 + axis]
        coordinates.append((2 * away + 1) / side - 1)
    grid = rearrange(torch.stack(torch.broadcast_tensors(*coordinates), dim=-1), "(b k) m ... -> b (k m) ...", k=most)
    read = functional.grid_sample(foreign, grid, padding_mode="border", align_corners=False)
    return rearrange(read, "b c (k m) ... -> (b k) c m ...", k=most)


def _filled(image: Tensor, inside: Tensor) -> Tensor:
    """Image whose surroundings, too, have the mean of its brain."""
    return image * inside + (1 - inside) * brain_mean(image, inside)


def _laplacian(x: Tensor) -> Tensor:
    """Laplacian of the inner voxels of ``(b, c, *m)``."""
    total = torch.zeros((), device=x.device)
    for axis in range(2, x.ndim):
        inner = tuple(slice(None) if other == axis else slice(1, -1) for other in range(2, x.ndim))
        total = total + x.diff(n=2, dim=axis)[(..., *inner)]
    return total


@corruption
def nsa(
    image: Tensor,
    brain: Tensor,
    *,
    foreign: Tensor | None = None,
    count: tuple[int, int] = (1, 3),
    half_width: tuple[float, float] = (0.03, 0.2),
    resize: float = 0.15,
    generator: torch.Generator | None = None,
) -> Blended:
    """Clone patches of another image into each image.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``, every side at least 3; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    foreign : Tensor, optional
        ``(b, c, *s)``, images that patches are taken from, 0 outside their brains; by default another one of the batch,
        mirrored.
    count : (int, int)
        Fewest and most patches per image.
    half_width : (float, float)
        Least and most half-width of a patch, as a share of the last side.
    resize : float
        Standard deviation of the log of the factor that a patch is enlarged by.
    generator : torch.Generator, optional
        Source of the patches.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and how visible it is.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    b, size, device = len(image), image.shape[2:], image.device
    n, most, plain = len(size), count[1], image.float()
    other = (mirrored_others(image, generator) if foreign is None else foreign).float()
    its_brain, own_brain = (other != 0).any(1, keepdim=True), brain.float()
    # Nothing of the void around a brain is cloned, and nothing of it sets a rim.
    other = _filled(other, its_brain.float())
    mean, filled = brain_mean(plain, own_brain), _filled(plain, own_brain)
    # Images and patches are one axis: every patch is cut and solved for by itself.
    to = brain_points(brain, most, generator=generator).flatten(0, 1)
    source = brain_points(its_brain, most, generator=generator).flatten(0, 1)
    present = torch.arange(most, device=device) < integers(*count, (b, 1), generator, device)
    # The sum of two exponential variables is Gamma of shape 2.
    gamma = -0.05 * uniform(1e-6, 1, (b * most, n, 2), generator, device).log().sum(-1)
    half = ((half_width[0] + gamma).clamp(max=half_width[1]) * size[-1]).round().long().clamp(min=1)
    factor = (normal((b * most, 1), generator, device) * resize).exp()
    limit = torch.tensor(size, device=device) - 1
    to = to.clamp(min=1).minimum(limit - 1)
    low, high = (to - half).clamp(min=1), (to + half).minimum(limit)
    reach = max(1, round(half_width[1] * size[-1]))
    sides = [min(2 * reach, side - 2) + 2 for side in size]
    index, place = window_index(low - 1, sides, size), window_axes(low - 1, sides)
    # The patches of an image lie one below the other while they are read.
    below = [most * sides[0], *sides[1:]]
    stacked = index.view(b, 1, *below)
    own = rearrange(read_windows(filled, stacked), "b c (k m) ... -> (b k) c m ...", k=most)
    theirs = _resized(other, source, place, to, factor, most)
    solved = solve_poisson(_laplacian(theirs - own), high - low)
    cloned = own + functional.pad(solved, [1, 1] * n)
    inside = read_windows(brain, stacked).view(b * most, 1, *sides) & present.view(-1, 1, *[1] * n)
    for axis, along in enumerate(place):
        ends = [end[:, axis].view(-1, *[1] * n) for end in (low, high)]
        inside = inside & ((along >= ends[0]) & (along < ends[1]))[:, None]
    result = plain.clone(memory_format=torch.contiguous_format)
    for k in range(most):
        at, here = index[k::most], inside[k::most]
        write_windows(result, at, torch.where(here, cloned[k::most], read_windows(result, at)))
    brightest = plain.flatten(2).amax(-1).view(*image.shape[:2], *[1] * n)
    # Positive, because 0 stands for outside the brain.
    result = result.minimum(brightest).maximum(plain.minimum(0.02 * mean))
    soft = visible_change(plain, result, own_brain)
    return Blended(result.to(image.dtype), soft >= 0.5, soft)
