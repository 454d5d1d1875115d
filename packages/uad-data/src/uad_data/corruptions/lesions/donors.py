"""Where foreign tissue comes from: another image of the batch, mirrored."""

import torch
from torch import Tensor

from uad_data.corruptions.draws import integers


def mirrored_others(image: Tensor, generator: torch.Generator | None) -> Tensor:
    """For each image another one of the batch, with left and right swapped.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``.
    generator : torch.Generator, optional
        Source of the choice.

    Returns
    -------
    Tensor
        Like `image`. An image alone gets itself, mirrored: a brain's two halves differ enough to be foreign.
    """
    b, device = len(image), image.device
    step = integers(min(1, b - 1), max(0, b - 1), (), generator, device)
    return image[(torch.arange(b, device=device) + step) % b].flip(-1)
