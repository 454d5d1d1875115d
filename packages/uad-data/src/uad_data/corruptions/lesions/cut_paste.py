"""CutPaste: a patch or a scar of an image pasted elsewhere in the same image.

Paper: Li et al., "CutPaste: self-supervised learning for anomaly detection and localization", CVPR 2021
(https://arxiv.org/abs/2104.04015), section 2.2: rectangles of 2 % to 15 % of the image with an aspect ratio from 0.3 to
3.3, or scars of 2 to 16 by 10 to 25 of 256 pixels turned by any angle up to 45 degrees, with a little colour jitter.

Deviations: patches take 2 % to 15 % of the brain and may be turned by any angle; what they show is moved, not turned;
only brain is pasted, onto brain; the label is how visible the change is, where the authors classify whole images.
"""

import torch
from torch import Tensor

from uad_data.corruptions.brain_points import brain_points
from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.blobs import linear_form, turned
from uad_data.corruptions.lesions.visible_change import visible_change
from uad_data.corruptions.windows import read_windows, window_index


@corruption
def cut_paste(
    image: Tensor,
    brain: Tensor,
    *,
    share: tuple[float, float] = (0.02, 0.15),
    aspect: float = 3.3,
    scars: float = 0.4,
    jitter: float = 0.1,
    generator: torch.Generator | None = None,
) -> Blended:
    """Paste a piece of each brain elsewhere in it.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``; not negative.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    share : (float, float)
        Range of the size of a patch, as a share of the brain; log sizes are uniform.
    aspect : float
        Most that one side of a patch is longer than another, at least 1.
    scars : float
        Probability of a scar rather than a patch.
    jitter : float
        Most that a piece's intensity is changed by, relative.
    generator : torch.Generator, optional
        Source of the pieces.

    Returns
    -------
    Blended
        The image, the voxels whose change is visible, and how visible it is.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    (b, c), size, device = image.shape[:2], image.shape[2:], image.device
    n, ones, plain = len(size), (1,) * len(size), image.float()
    to, source = brain_points(brain, 2, generator=generator).unbind(1)
    ratio = share[0] * (share[1] / share[0]) ** uniform(0, 1, (b, 1), generator, device)
    stretch = uniform(-0.5, 0.5, (b, n), generator, device)
    stretch = aspect ** (stretch - stretch.mean(1, keepdim=True))
    patch = (ratio * brain.flatten(1).sum(1, keepdim=True)) ** (1 / n) * stretch
    scar = uniform(2 / 256, 16 / 256, (b, n), generator, device)
    scar[:, 0] = uniform(10 / 256, 25 / 256, (b,), generator, device)
    is_scar = uniform(0, 1, (b, 1), generator, device) < scars
    # At least three voxels across: thinner ones fall between voxels when turned.
    half = torch.where(is_scar, scar * size[-1], patch).clamp(min=3) / 2
    axes = turned(b, 1, n, generator, device)[:, 0]
    inside = brain.clone()
    for j in range(n):
        inside &= linear_form(size, to, axes[:, j]).abs() <= half[:, j].view(-1, 1, *ones)
    index = window_index(source - to, size, size)
    inside &= read_windows(brain, index)
    factor = 1 + jitter * uniform(-1, 1, (b, c, *ones), generator, device)
    result = torch.where(inside, read_windows(plain, index) * factor, plain)
    soft = visible_change(plain, result, brain.float())
    return Blended(result.to(image.dtype), soft >= 0.5, soft)
