"""Deformation: tissue pushed away from a point or pulled to it, bending as it goes, with or without a growth inside.

Paper: the source and sink deformations of Baugh et al., "Many tasks make light work", MICCAI 2023
(https://arxiv.org/abs/2307.00899), which move points along rays from a centre within a shape: a point at the share q of
the way to the edge shows what lay at ``q^f`` (source) or ``1 - (1 - q)^f`` (sink), f from 1.4 to 4.

Deviations: a ball whose points show what lay at ``q (1 - a (1 - q)^2)``, which moves nothing on the edge and starts
there without a kink; a, above 0 for pushing, is bent by smooth noise and below 0.9, so that little is folded. In some
images a lesion fills the middle, as a tumour fills the room that it made. The label is how visible the change is, and
all of the growth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import Blobs, ball_volume, linear_form
from uad_data.corruptions.lesions.lesion_tissue import fill_lesions
from uad_data.corruptions.lesions.sequences import SEQUENCES, SequencePrior
from uad_data.corruptions.lesions.smoothing import smooth_noise
from uad_data.corruptions.lesions.tissue import tissue_share
from uad_data.corruptions.lesions.visible_change import visible_change


def _warped(image: Tensor, inside: Tensor, ways: list[Tensor], reach: Tensor, amount: Tensor) -> Tensor:
    """Image moved along the rays `ways`, one ``(b, 1, *s)`` per axis, in voxels; 0 where another place is not brain."""
    coordinates = []
    for axis in reversed(range(len(ways))):
        side = image.shape[2 + axis]
        place = torch.arange(side, device=image.device).view(-1, *[1] * (len(ways) - 1 - axis))
        shown = place - (ways[axis] * amount * (1 - reach).clamp(min=0).square())[:, 0]
        coordinates.append((2 * shown + 1) / side - 1)
    grid = torch.stack(coordinates, dim=-1)
    moved = functional.grid_sample(torch.cat((image, inside), dim=1), grid, align_corners=False)
    return torch.where(moved[:, -1:] > 0.99, moved[:, :-1] / moved[:, -1:].clamp(min=0.5), 0)


@corruption
def deformation(
    image: Tensor,
    brain: Tensor,
    *,
    size: tuple[float, float] = (0.01, 0.25),
    strength: tuple[float, float] = (0.4, 0.9),
    pushing: float = 0.7,
    growth: float = 0.5,
    sequences: Sequence[SequencePrior] = (SEQUENCES["flair"],),
    generator: torch.Generator | None = None,
) -> Blended:
    """Deform a ball in each brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    size : (float, float)
        Range of the ball's volume, as a share of the brain, above 0; log volumes are uniform.
    strength : (float, float)
        Range of a, the share of its distance from the centre that what is there is moved by, above 0 and at most 0.9.
    pushing : float
        Probability that tissue is pushed away rather than pulled in.
    growth : float
        Probability that a lesion fills the middle of a ball that pushes.
    sequences : sequence of SequencePrior
        Contrast of that lesion: one for each channel, or one for all.
    generator : torch.Generator, optional
        Source of the deformations.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and how visible it is.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit, or there are too many or too few sequences.
    """
    b, extent, device = len(image), image.shape[2:], image.device
    n, ones, plain, inside = len(extent), (1,) * (image.ndim - 1), image.float(), brain.float()
    tissue = tissue_share(plain, inside)
    centre = brain_points(brain, 1, generator=generator)[:, 0]
    ratio = size[0] * (size[1] / size[0]) ** uniform(0, 1, (b,), generator, device)
    volume = ratio * brain.flatten(1).sum(1)
    radius = (volume / ball_volume(n)).clamp(min=3**n) ** (1 / n)
    axes = torch.eye(n, device=device)
    ways = [linear_form(extent, centre, axes[j].expand(b, -1)) for j in range(n)]
    away = torch.stack(ways).square_().sum(0).sqrt_()
    reach = away / radius.view(-1, *ones)
    push = uniform(0, 1, (b, *ones), generator, device) < pushing
    amount = uniform(*strength, (b, *ones), generator, device)
    bend = smooth_noise((b, 1, *extent), (5,), generator, device)
    amount = torch.where(push, amount, -amount) * (1 + 0.3 * bend.clamp(-2, 2))
    moved = _warped(plain, inside, ways, reach, amount.clamp(-0.9, 0.9))
    result = torch.where((reach < 1) & brain & (moved != 0), moved, plain)
    # The growth ends where tissue that was in the middle has gone.
    grows = push & (uniform(0, 1, (b, *ones), generator, device) < growth)
    ragged = smooth_noise((b, 1, *extent), (6, 14), generator, device).mul_(0.35).clamp_(-0.6, 0.6)
    depth = 1 + ragged - reach / 0.5
    border = uniform(0.5, 2.0, (b, *ones), generator, device)
    share = (depth * radius.view(-1, *ones) * (2.2 / border)).sigmoid_() * grows * inside
    share = functional.threshold(share, 0.01, 0.0, inplace=True)
    result = fill_lesions(
        result,
        inside,
        tissue,
        Blobs(share, depth),
        sequences=sequences,
        texture=(0.02, 0.15),
        keep=(0.3, 0.8),
        cored=0.3,
        generator=generator,
    )
    soft = visible_change(plain, result, inside).maximum(share)
    return Blended(result.to(image.dtype), soft >= 0.5, soft)
