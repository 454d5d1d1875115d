"""Simplex noise: smooth noise of several octaves, which corrupts large structures as well as small ones.

Papers: Wyatt et al., "AnoDDPM: anomaly detection with denoising diffusion probabilistic models using simplex noise",
CVPR workshops 2022: 6 octaves, the coarsest of 64 pixels, each half as wide and 0.8 as strong as the one before. Noise:
Perlin, "Noise hardware", 2001; Gustavson, "Simplex noise demystified", 2005.

With F = (sqrt(n + 1) - 1) / n and G = (1 - 1 / sqrt(n + 1)) / n, a point x lies at ``x + F sum(x)`` in the skewed
lattice; its simplex has n + 1 corners, and each adds ``max(0, 1/2 - |d|^2)^4 <g, d>``, with d from the corner to the
point and g the corner's random gradient.

Deviations: AnoDDPM takes a plane of noise in three dimensions (OpenSimplex, gradients from a table that repeats after
256 points); here noise has as many dimensions as the image, each image and channel has its own gradients, drawn from
the whole sphere, and the lattice starts at a random place in every batch, because the noise is 0 at its points. The sum
is scaled to a stated standard deviation, known in closed form, and added inside the brain.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.corruption import add_inside, corruption
from uad_data.corruptions.draws import normal, uniform


def _octave_sd(n: int) -> float:
    """Spread of one octave in n dimensions: the standard deviation over places and unit gradients."""
    # Lattice points per volume, sqrt(n + 1), times the integral of (1/2 - r^2)^8 r^2 / n over the ball they act in.
    sphere = 2 * math.pi ** (n / 2) / math.gamma(n / 2)
    half = n / 2 + 1
    beta = math.gamma(9) * math.gamma(half) / math.gamma(9 + half)
    return math.sqrt(math.sqrt(n + 1) * sphere / n * 0.5 ** (8 + half) * beta / 2)


def _corners(size: Sequence[int], wavelength: float, origin: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Each voxel's lattice points ``(v, n + 1)``, their weights on the gradient ``(v, n + 1, n)``, the lattice's size.

    `origin` is where the lattice starts, in its own skewed coordinates, from 0 to 1.
    """
    n = len(size)
    skew, unskew = (math.sqrt(n + 1) - 1) / n, (1 - 1 / math.sqrt(n + 1)) / n
    axes = [torch.arange(side, device=origin.device) / wavelength for side in size]
    points = torch.cartesian_prod(*axes)
    skewed = points + skew * points.sum(-1, keepdim=True) + origin
    base = skewed.floor()
    part = skewed - base
    # From the base, the path to the opposite corner steps along the axes in the order of the fractional parts.
    order = part.argsort(dim=-1, descending=True).argsort(dim=-1)
    step = (order[:, None] < torch.arange(n + 1, device=origin.device)[:, None]).long()
    away = part[:, None] - step
    away = away - unskew * away.sum(-1, keepdim=True)
    weight = (0.5 - away.square().sum(-1, keepdim=True)).clamp(min=0).pow(4) * away
    ends = [(side - 1) / wavelength for side in size]
    lattice = [math.floor(end + skew * sum(ends)) + 3 for end in ends]
    index = torch.zeros_like(step[..., 0])
    for axis, points_along in enumerate(lattice):
        index = index * points_along + base[:, None, axis].long() + step[..., axis]
    return index, weight, lattice


def _octave(image: Tensor, wavelength: float, generator: torch.Generator | None) -> Tensor:
    """One octave of unit standard deviation, like the image but float32."""
    b, c, *size = image.shape
    n = len(size)
    index, weight, lattice = _corners(size, wavelength, uniform(0, 1, (n,), generator, image.device))
    drawn = normal((math.prod(lattice), n, b * c), generator, image.device)
    gradient = drawn * drawn.square().sum(dim=1, keepdim=True).clamp(min=1e-12).rsqrt()
    # A voxel is a weighted sum of the n components at its n + 1 corners: rows of the table of gradients.
    rows = index[..., None] * n + torch.arange(n, device=image.device)
    noise = functional.embedding_bag(
        rows.flatten(1), gradient.flatten(0, 1), per_sample_weights=weight.flatten(1), mode="sum"
    )
    return noise.T.reshape(image.shape) / _octave_sd(n)


@corruption
def simplex_noise(
    image: Tensor,
    brain: Tensor,
    *,
    sd: float = 0.2,
    octaves: int = 6,
    wavelength: float = 64.0,
    persistence: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add simplex noise inside the brain.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    sd : float
        Standard deviation of the sum of all octaves, in the unit of the image, at least 0.
    octaves : int
        Number of octaves, each of half the wavelength of the one before, at least 1.
    wavelength : float
        Distance of the lattice's points in the first octave, in voxels, above 0.
    persistence : float
        Strength of an octave relative to the one before, above 0.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    Tensor
        Like `image`. Every image and channel has its own noise.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit.
    """
    strengths = [persistence**octave for octave in range(octaves)]
    noise = torch.zeros(image.shape, device=image.device)
    for octave, strength in enumerate(strengths):
        noise.add_(_octave(image, wavelength / 2**octave, generator), alpha=strength)
    return add_inside(image, brain, noise.mul_(sd / math.hypot(*strengths)))
