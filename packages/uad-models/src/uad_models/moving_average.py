"""A moving average of a method's weights, which is often a better method than the last weights."""

import copy

import torch

from uad_models.method import Method


class MovingAverage:
    """Exponential moving average of weights.

    Parameters
    ----------
    method
        Copied as it is: where the average starts.
    decay
        Per step, in (0, 1). Early steps use ``(1 + step) / (10 + step)`` where that is less, so that the average does
        not remember the random start.

    Attributes
    ----------
    method
        The averaged method.
    """

    def __init__(self, method: Method, decay: float) -> None:
        self.method = copy.deepcopy(method).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, method: Method, step: int) -> None:
        """Take in the weights after a step; buffers and whole numbers are copied.

        Parameters
        ----------
        method
            The method in training.
        step
            From 0.
        """
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for own, new in zip(self.method.parameters(), method.parameters(), strict=True):
            own.lerp_(new, weight)
        for kept, now in zip(self.method.buffers(), method.buffers(), strict=True):
            kept.copy_(now)
