"""Rotate and translate: the image as a whole turns by quarters and shifts by an eighth, and its classes are to be told.

Papers: Gidaris et al., "Unsupervised representation learning by predicting image rotations", ICLR 2018
(https://arxiv.org/abs/1803.07728); the thesis on CT by context restoration and multi-task learning, section 5.3.1: "we
randomly rotate the image by multiples of 90 and translate the image to approximately 1/8th image size on either sides",
with 4 classes of rotation and "6 classes [of translation], one class for each movement along the horizontal and
vertical direction".

Deviations: the thesis does not say which six translations; here each axis has the three classes back, none and forth,
drawn independently, which makes six in an image and nine in a volume. What leaves the image is lost and what is left
behind is 0. Volumes turn about the axis d only.
"""

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Moved
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers
from uad_data.errors import InputError


def _move(x: Tensor, rotation: Tensor, shift: Tensor) -> Tensor:
    """Turn, then shift ``(b, c, *s)``: a quarter turn is a swap of h and w and a reversal of one of them."""
    b, ones = len(x), (1,) * (x.ndim - 2)
    moved = torch.where((rotation % 2 == 1).view(b, 1, *ones), x.mT, x)
    reverse = {x.ndim - 2: (rotation == 1) | (rotation == 2), x.ndim - 1: rotation >= 2}
    for axis, side in enumerate(x.shape[2:], start=2):
        place = torch.arange(side, device=x.device) - shift[:, axis - 2, None]
        inside = (place >= 0) & (place < side)
        source = place.clamp(0, side - 1)
        if axis in reverse:
            source = torch.where(reverse[axis][:, None], side - 1 - source, source)
        along = (b, *[side if other == axis else 1 for other in range(1, x.ndim)])
        moved = moved.gather(axis, source.view(along).expand_as(moved)) * inside.view(along)
    return moved


@corruption
def rotate_translate(
    image: Tensor, brain: Tensor, *, shift: float = 1 / 8, generator: torch.Generator | None = None
) -> Moved:
    """Turn each image by a multiple of 90 degrees in the plane of h and w, then shift it along each axis.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``, h equal to w.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    shift : float
        Length of a shift, as a share of each side, rounded to whole voxels.
    generator : torch.Generator, optional
        Source of the classes, each equally likely.

    Returns
    -------
    Moved
        Image, brain, and the classes of rotation and translation.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit, or h differs from w.
    """
    b, size, device = len(image), image.shape[2:], image.device
    if size[-2] != size[-1]:
        raise InputError(f"rotate_translate: expected h and w alike, for quarter turns; got {tuple(size)}: pad or crop")
    rotation = integers(0, 3, (b,), generator, device)
    translation = integers(0, 2, (b, len(size)), generator, device)
    step = torch.tensor([round(shift * side) for side in size], device=device)
    step = (translation - 1) * step
    return Moved(_move(image, rotation, step), _move(brain, rotation, step), rotation, translation)
