"""A convolutional encoder and decoder around a dense or a spatial code, for slices and volumes alike.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

The layout is that of Lambert et al., "Leveraging 3D information in unsupervised brain MRI segmentation", ISBI 2021
(https://arxiv.org/abs/2101.10674), section 2.3: strided convolutions, one more layer per head that gives a code, and
a symmetric decoder with one more layer. In the dense configuration the layers at the code are fully connected, in the
spatial one they are convolutions; volumes swap every convolution for its 3D counterpart.

The paper does not say, so chosen here: kernels of 4 with stride 2, kernels of 1 at a spatial code, batch
normalisation, leaky ReLU, and no activation at the end, so that a voxel can be brighter than 1.
"""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

Latent = Literal["dense", "spatial"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class EncoderDecoder(nn.Module):
    """Image to code and code to image.

    Parameters
    ----------
    in_channels
        Channels of the image.
    size
        ``(h, w)`` or ``(d, h, w)``, each a multiple of ``2 ** len(channels)``.
    channels
        Width after each halving of the image.
    latent
        ``"dense"``: a code is a vector ``(b, latent_dim)``; ``"spatial"``: ``(b, latent_dim, *s / 2**len(channels))``.
    latent_dim
        Length of the vector, or channels of the spatial code.
    heads
        How many codes an image is given: 1, or 2 for a mean and a log variance.
    out_channels
        Channels of what is decoded; those of the image when not given.
    out_channels
        Channels that a code is decoded to; as many as the image's where None.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        size: tuple[int, ...],
        channels: tuple[int, ...],
        latent: Latent,
        latent_dim: int,
        heads: int = 1,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        dims = len(size)
        down, up = (in_channels, *channels), channels[::-1]
        grid = tuple(side // 2 ** len(channels) for side in size)
        self.memory_format = CHANNELS_LAST[dims]
        self.encoder = nn.Sequential(*(_halve(dims, *pair) for pair in itertools.pairwise(down)))
        self.heads = nn.ModuleList(_head(latent, dims, channels[-1], grid, latent_dim) for _ in range(heads))
        self.first = _first(latent, dims, channels[-1], grid, latent_dim)
        self.decoder = nn.Sequential(
            *(_double(dims, *pair) for pair in itertools.pairwise(up)),
            TRANSPOSED[dims](up[-1], out_channels or in_channels, kernel_size=4, stride=2, padding=1),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one code per head.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        tuple of Tensor
            Each ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
        """
        features = self.encoder(x.contiguous(memory_format=self.memory_format))
        return tuple(head(features) for head in self.heads)

    def decode(self, code: Tensor) -> Tensor:
        """Return the image of a code; its values are not bounded.

        Parameters
        ----------
        code
            ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.

        Returns
        -------
        Tensor
            ``(b, out_channels, *s)``.
        """
        return self.decoder(self.first(code))


def _halve(dims: int, inside: int, outside: int) -> nn.Module:
    """Halve every side: a strided convolution, normalised."""
    convolution = CONVOLUTION[dims](inside, outside, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, NORM[dims](outside), nn.LeakyReLU(0.1))


def _double(dims: int, inside: int, outside: int) -> nn.Module:
    """Double every side: a transposed convolution whose stride divides its kernel, so that it favours no voxel."""
    convolution = TRANSPOSED[dims](inside, outside, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, NORM[dims](outside), nn.LeakyReLU(0.1))


def _head(latent: Latent, dims: int, width: int, grid: tuple[int, ...], latent_dim: int) -> nn.Module:
    """Features to one code."""
    if latent == "spatial":
        return CONVOLUTION[dims](width, latent_dim, kernel_size=1)
    return nn.Sequential(nn.Flatten(), nn.Linear(width * math.prod(grid), latent_dim))


def _first(latent: Latent, dims: int, width: int, grid: tuple[int, ...], latent_dim: int) -> nn.Module:
    """Code to features: the decoder's first layer."""
    if latent == "spatial":
        layers: list[nn.Module] = [CONVOLUTION[dims](latent_dim, width, kernel_size=1, bias=False)]
    else:
        layers = [nn.Linear(latent_dim, width * math.prod(grid), bias=False), nn.Unflatten(1, (width, *grid))]
    return nn.Sequential(*layers, NORM[dims](width), nn.LeakyReLU(0.1))
