"""Gaussian noise, one draw for each voxel and channel, inside the brain.

Paper: Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008; "the most
commonly used noise" of Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational
autoencoder", and the baseline at full resolution of Kascenas et al., MIDL 2022
(https://openreview.net/forum?id=Bm8-t_ggzVD).

Deviation: none is added outside the brain.
"""

import torch
from torch import Tensor

from uad_data.corruptions.corruption import add_inside, corruption
from uad_data.corruptions.draws import normal


@corruption
def gaussian_noise(
    image: Tensor, brain: Tensor, *, sd: float = 0.2, generator: torch.Generator | None = None
) -> Tensor:
    """Add Gaussian noise inside the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    sd : float
        Standard deviation, in the unit of the image, at least 0.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    Tensor
        Like `image`.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    noise = normal(image.shape, generator, image.device)
    return add_inside(image, brain, noise.mul_(sd))
