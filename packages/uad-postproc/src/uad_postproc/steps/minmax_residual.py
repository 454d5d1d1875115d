"""The residual to a reconstruction that is first brought to the image's range."""

from dataclasses import dataclass

import numpy as np

from uad_postproc.context import Context
from uad_postproc.steps.residual import Residual


@dataclass(frozen=True)
class MinMaxResidual(Residual):
    """Residual after the reconstruction was scaled to the image's least and largest value.

    What the context-VAE paper does with a network's output: linear, so that least and largest value inside the brain
    equal those of the image, for each item and channel by itself. A reconstruction of one value only is left as it is.
    Without image and reconstruction in the context, the map that comes in is passed on.

    Parameters
    ----------
    kind : "absolute" or "positive"
        See `Residual`.
    """

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        if context.image is None or context.reconstruction is None:
            return x
        image, reconstruction = context.image, context.reconstruction
        channels = image.ndim > context.brain.ndim
        brain = context.brain[:, None] if channels else context.brain
        axes = tuple(range(1 + channels, image.ndim))
        low, high = _range(image, brain, axes)
        old_low, old_high = _range(reconstruction, brain, axes)
        wide = old_high > old_low
        scale = np.where(wide, (high - low) / np.where(wide, old_high - old_low, 1), 1)
        shift = np.where(wide, low - old_low * scale, 0)
        return self.difference(x, context, image, reconstruction * scale + shift)


def _range(array: np.ndarray, brain: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value inside the brain, over the spatial axes, which are kept; 0 without brain."""
    low = np.where(brain, array, np.float32(np.inf)).min(axis=axes, keepdims=True)
    high = np.where(brain, array, np.float32(-np.inf)).max(axis=axes, keepdims=True)
    known = np.isfinite(low)
    return np.where(known, low, 0).astype(np.float32), np.where(known, high, 0).astype(np.float32)
