"""Signed: only what is brighter than expected scores; for lesions known to be bright (S. Kuznetsov's poster)."""

from torch import Tensor


def signed(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``max(x − x̂, 0)``.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32.

    Returns
    -------
    Tensor
        ``(b, c, *s)``, not negative.
    """
    return (x - reconstruction).clamp(min=0)
