"""Poisson's equation in boxes of different size, solved for a whole batch at once.

In a box whose rim is 0 the discrete Laplacian is diagonal in the sine basis (Press et al., "Numerical recipes", section
20.4), so that solving is a product with the basis along each axis, a division by the eigenvalues, and the same products
again. Each box has its own basis, padded with zeros to the size of the largest.
"""

import math

import torch
from torch import Tensor


def _along(x: Tensor, basis: Tensor, axis: int) -> Tensor:
    """Product with a symmetric basis ``(b, m, m)`` along one axis of ``(b, c, *m)``."""
    rows = x.movedim(axis, -1)
    return (rows.flatten(1, -2) @ basis).view(rows.shape).movedim(-1, axis)


def solve_poisson(source: Tensor, extent: Tensor) -> Tensor:
    """Solve ``Laplacian u = source`` in boxes, u being 0 around each box.

    Parameters
    ----------
    source : Tensor
        ``(b, c, *m)`` float; box i is ``source[i, :, :e0, :e1, ...]`` with ``e = extent[i]``, the rest is ignored.
    extent : Tensor
        ``(b, n)`` int64, size of each box along each axis, at least 1 and at most m.

    Returns
    -------
    Tensor
        ``(b, c, *m)``: u, with neighbours one voxel apart; 0 outside the box.

    Notes
    -----
    ``Laplacian u = sum over the axes of u[i - 1] - 2 u[i] + u[i + 1]``.
    """
    n, bases = extent.shape[1], []
    eigenvalues = torch.zeros((), device=source.device)
    for axis in range(n):
        side = source.shape[2 + axis]
        place = torch.arange(1, side + 1, device=source.device, dtype=source.dtype)
        length = extent[:, axis, None].to(source.dtype)
        inside = (place <= length).to(source.dtype)
        waves = torch.sin(math.pi * place[:, None] * place / (length[..., None] + 1))
        norm = (2 / (length[..., None] + 1)).sqrt()
        bases.append(norm * waves * inside[:, :, None] * inside[:, None, :])
        eigenvalue = 2 * torch.cos(math.pi * place / (length + 1)) - 2
        # Outside the box every coefficient is 0, and what it is divided by only must not be 0.
        eigenvalue = torch.where(place <= length, eigenvalue, -1)
        eigenvalues = eigenvalues + eigenvalue.view(-1, 1, *[side if other == axis else 1 for other in range(n)])
    for axis, basis in enumerate(bases, start=2):
        source = _along(source, basis, axis)
    solution = source / eigenvalues
    for axis, basis in enumerate(bases, start=2):
        solution = _along(solution, basis, axis)
    return solution
