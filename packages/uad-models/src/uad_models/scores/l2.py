"""ℓ2: the squared residual; ranks the voxels of one sequence as ℓ1 does, weighs large errors more in an average."""

from torch import Tensor


def l2(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``(x − x̂)²``.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32.

    Returns
    -------
    Tensor
        ``(b, c, *s)``, not negative.
    """
    return (x - reconstruction).square()
