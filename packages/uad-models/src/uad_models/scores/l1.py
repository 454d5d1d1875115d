"""ℓ1: the absolute residual, the usual one (Baur et al., https://arxiv.org/abs/2004.03271)."""

from torch import Tensor


def l1(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``|x − x̂|``.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32.

    Returns
    -------
    Tensor
        ``(b, c, *s)``, not negative.
    """
    return (x - reconstruction).abs()
