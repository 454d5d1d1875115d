"""What all corruptions share: their input is checked, no gradient is kept, and nothing runs at reduced precision."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from uad_data.errors import InputError

_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")
_Corruption = Callable[Concatenate[Tensor, Tensor, _Options], _Result]


def corruption(apply: _Corruption[_Options, _Result]) -> _Corruption[_Options, _Result]:
    """Make a corruption of a function of an image and its brain mask.

    Parameters
    ----------
    apply : callable
        Takes ``image (b, c, *s)``, ``brain (b, 1, *s)`` bool, and options.

    Returns
    -------
    callable
        The same, which checks image and brain, keeps no gradient, and is not touched by an autocast around it: the
        numbers must not depend on the precision that a network is trained at.
    """

    @wraps(apply)
    def checked(image: Tensor, brain: Tensor, *args: _Options.args, **kwargs: _Options.kwargs) -> _Result:
        if image.ndim not in (4, 5) or not image.is_floating_point():
            raise InputError(
                f"{apply.__name__}: image: expected float (b, c, h, w) or (b, c, d, h, w), "
                f"got {image.dtype} {tuple(image.shape)}"
            )
        expected = (len(image), 1, *image.shape[2:])
        if brain.dtype != torch.bool or brain.shape != expected:
            raise InputError(
                f"{apply.__name__}: brain: expected bool {expected} for this image, "
                f"got {brain.dtype} {tuple(brain.shape)}"
            )
        device = image.device.type
        full = torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext()
        with torch.no_grad(), full:
            return apply(image, brain, *args, **kwargs)

    return checked


def add_inside(image: Tensor, brain: Tensor, noise: Tensor) -> Tensor:
    """Add noise where there is brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    noise : Tensor
        ``(b, c, *s)`` float32; overwritten.

    Returns
    -------
    Tensor
        Like `image`.
    """
    # In place, because fresh memory costs more here than arithmetic.
    noise.add_(image)
    return torch.where(brain, noise, image.float(), out=noise).to(image.dtype)
