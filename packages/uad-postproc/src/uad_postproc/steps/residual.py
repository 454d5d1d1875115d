"""The residual: how far an image is from its reconstruction, voxel by voxel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step


@dataclass(frozen=True)
class Residual(Step):
    """Difference of image and reconstruction, averaged over channels.

    Without image and reconstruction in the context, the map that comes in is taken as the residual and passed on.

    Parameters
    ----------
    kind : "absolute" or "positive"
        ``|image - reconstruction|``, or only where the image is brighter than its reconstruction (0 elsewhere).
    """

    kind: Literal["absolute", "positive"] = "absolute"
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        if self.kind not in ("absolute", "positive"):
            raise InputError(f"{type(self).__name__}: kind: expected 'absolute' or 'positive', found {self.kind!r}")

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        if context.image is None or context.reconstruction is None:
            return x
        return self.difference(x, context, context.image, context.reconstruction)

    def difference(self, x: np.ndarray, context: Context, image: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
        """Return the residual of an image and a reconstruction.

        Parameters
        ----------
        x : numpy.ndarray, (n, *spatial), float32
            For its shape.
        context : Context
            The brain.
        image, reconstruction : numpy.ndarray, (n, *spatial) or (n, c, *spatial)
            In one shape.

        Returns
        -------
        numpy.ndarray, (n, *spatial), float32
            0 outside the brain.
        """
        difference = np.subtract(image, reconstruction, dtype=np.float32)
        residual = np.abs(difference) if self.kind == "absolute" else np.maximum(difference, 0)
        if residual.ndim > x.ndim:
            residual = residual.mean(axis=1)
        return np.where(context.brain, residual, np.float32(0))
