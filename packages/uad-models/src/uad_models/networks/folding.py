"""Blocks of voxels as channels, and back: the same image on a grid that costs a fraction to convolve.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.
"""

from einops import rearrange
from torch import Tensor

_APART_TOGETHER = {
    2: ("b c (h p) (w q)", "b (c p q) h w"),
    3: ("b c (d p) (h q) (w r)", "b (c p q r) d h w"),
}


def folded(x: Tensor, fold: int) -> Tensor:
    """Take blocks of voxels as channels.

    Parameters
    ----------
    x
        ``(b, c, *s)``, every side a multiple of ``fold``.
    fold
        Side of a block, at least 1.

    Returns
    -------
    Tensor
        ``(b, c * fold ** n, *s / fold)`` in ``n`` dimensions.
    """
    apart, together = _APART_TOGETHER[x.ndim - 2]
    return rearrange(x, f"{apart} -> {together}", **_sides(x, fold))


def unfolded(x: Tensor, fold: int) -> Tensor:
    """Undo `folded`.

    Parameters
    ----------
    x
        ``(b, c * fold ** n, *s / fold)``.
    fold
        Side of a block.

    Returns
    -------
    Tensor
        ``(b, c, *s)``.
    """
    apart, together = _APART_TOGETHER[x.ndim - 2]
    return rearrange(x, f"{together} -> {apart}", **_sides(x, fold))


def _sides(x: Tensor, fold: int) -> dict[str, int]:
    """Sides of a block, by the letter of its axis."""
    return dict.fromkeys(("p", "q", "r")[: x.ndim - 2], fold)
