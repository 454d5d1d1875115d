"""Scans without skull: what is not background is brain."""

import numpy as np
from numpy.typing import NDArray

from uad_data.brain_mask import stripped_mask


def extract_stripped(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:  # noqa: ARG001
    """Mask what differs from the background.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        One sequence of a skull-stripped scan.
    affine : ndarray, shape (4, 4), float64
        Not used.

    Returns
    -------
    ndarray, shape (d, h, w), bool
    """
    return stripped_mask(volume)
