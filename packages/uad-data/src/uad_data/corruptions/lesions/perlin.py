"""Perlin noise, each image at its own scale.

Paper: Perlin, "Improving noise", SIGGRAPH 2002: at the corners of a lattice there are random gradients; a point's noise
is the mean of ``<gradient, way from the corner>`` over the corners of its cell, weighing ``6 t^5 - 15 t^4 + 10 t^3``.

Deviations: gradients are drawn from the whole sphere, and the lattice starts at a random place.
A weight is a product over the axes, and a way has one summand per axis, so that the noise is a sum of matrix products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from uad_data.corruptions.draws import normal, uniform
from uad_data.corruptions.lesions.smoothing import along_axes


def perlin_noise(
    size: Sequence[int], cells: Tensor, *, most: int, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw Perlin noise.

    Parameters
    ----------
    size : sequence of int
        Size ``*s`` of the image.
    cells : Tensor
        ``(b, n)`` float32, cells of the lattice along each axis of each image, above 0.
    most : int
        At least the largest of `cells`.
    generator : torch.Generator, optional
        Source of the noise.
    device : torch.device
        Where the result is wanted.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, within -1 to 1.
    """
    b, n = cells.shape
    points = most + 2
    gradient = normal((b, n, *[points] * n), generator, device)
    gradient = gradient * gradient.square().sum(1, keepdim=True).clamp(min=1e-12).rsqrt()
    start = uniform(0, 1, (b, n), generator, device)
    weights, ways = [], []
    for axis, side in enumerate(size):
        place = start[:, axis, None] + torch.arange(side, device=device) * (cells[:, axis, None] / side)
        way = place[..., None] - torch.arange(points, device=device)
        t = (1 - way.abs()).clamp_(min=0)
        weights.append(t * t * t * (t * (t * 6 - 15) + 10))
        ways.append(weights[-1] * way)
    noise = torch.zeros((), device=device)
    for axis in range(n):
        matrices = [ways[other] if other == axis else weights[other] for other in range(n)]
        noise = noise + along_axes(gradient[:, axis : axis + 1], matrices)
    return noise
