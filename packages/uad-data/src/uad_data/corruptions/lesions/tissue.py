"""Which voxels of the brain are tissue rather than fluid, told from the image alone.

Here and in its neighbours a brain is a float of 0 and 1 where it takes part in arithmetic: with bool that is several
times slower.
"""

from torch import Tensor


def brain_mean(image: Tensor, inside: Tensor) -> Tensor:
    """Mean of each channel over the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)`` float32.
    inside : Tensor
        ``(b, 1, *s)`` float32, 1 in the brain and 0 elsewhere.

    Returns
    -------
    Tensor
        ``(b, c, 1, ...)``, above 0; of no meaning where a brain is empty.
    """
    space = tuple(range(2, image.ndim))
    total = (image * inside).sum(space, keepdim=True)
    return (total / inside.sum(space, keepdim=True).clamp(min=1)).clamp(min=1e-3)


def tissue_share(image: Tensor, inside: Tensor) -> Tensor:
    """Tell tissue from fluid, which in every sequence is far darker or far brighter than the brain's mean.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)`` float32, not negative, with fluid far from tissue: FLAIR, T1, T2, CT in a brain window.
    inside : Tensor
        ``(b, 1, *s)`` float32, 1 in the brain and 0 elsewhere.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32: 1 within half of the brain's mean in every channel, 0 beyond 0.7 of it.
    """
    away = (image / brain_mean(image, inside)).sub_(1).abs_().amax(1, keepdim=True)
    return away.mul_(-5).add_(3.5).clamp_(0, 1).mul_(inside)
