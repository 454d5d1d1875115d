"""Random numbers for corruptions: drawn where the generator lives, then moved to the image.

So the same generator on the CPU gives the same numbers whatever device the image is on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def home(generator: torch.Generator | None) -> torch.device:
    """Device that numbers are drawn on: the generator's, without one the CPU."""
    return torch.device("cpu") if generator is None else generator.device


def normal(shape: Sequence[int], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw from the standard normal distribution.

    Parameters
    ----------
    shape : sequence of int
        Shape of the result.
    generator : torch.Generator, optional
        Source of the numbers.
    device : torch.device
        Where the result is wanted.

    Returns
    -------
    Tensor
        float32.
    """
    return torch.randn(tuple(shape), generator=generator, device=home(generator)).to(device)


def uniform(
    low: float, high: float, shape: Sequence[int], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw uniformly from an interval.

    Parameters
    ----------
    low, high : float
        Ends of the interval.
    shape, generator, device
        See `normal`.

    Returns
    -------
    Tensor
        float32.
    """
    drawn = torch.empty(tuple(shape), device=home(generator))
    return drawn.uniform_(low, high, generator=generator).to(device)


def integers(
    low: int, high: int, shape: Sequence[int], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw whole numbers uniformly.

    Parameters
    ----------
    low, high : int
        Smallest and largest number, both included.
    shape, generator, device
        See `normal`.

    Returns
    -------
    Tensor
        int64.
    """
    return torch.randint(low, high + 1, tuple(shape), generator=generator, device=home(generator)).to(device)
