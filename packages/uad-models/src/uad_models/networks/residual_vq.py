"""The encoder and decoder of a VQ-VAE: strided convolutions and residual blocks, for slices and volumes alike.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

The layout is that of van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017
(https://arxiv.org/abs/1711.00937), section 4.1: strided convolutions of kernel 4, residual blocks of a 3-wide and a
1-wide convolution with ReLU before each, and a symmetric decoder with transposed convolutions. The paper halves twice
and then has two blocks; here there may be any number of levels.

Chosen here: the blocks follow the last halving, not every one, because a block costs 4 to 8 times more per level up;
there is no normalisation, so that a code depends on nothing but the image around it.
"""

import itertools

from torch import Tensor, nn

from uad_models.networks.encoder_decoder import CONVOLUTION, TRANSPOSED
from uad_models.networks.memory_format import CHANNELS_LAST


class ResidualBlock(nn.Module):
    """A 3-wide and a 1-wide convolution added to their input.

    Parameters
    ----------
    dims
        2 or 3.
    channels
        Of input and output.
    """

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            CONVOLUTION[dims](channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            CONVOLUTION[dims](channels, channels, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, channels, *s)`` to the same shape."""
        return x + self.layers(x)


class ResidualVQ(nn.Module):
    """Image to a grid of vectors, and a grid of vectors to image; what is between the two is quantised elsewhere.

    Parameters
    ----------
    dims
        2 for slices, 3 for volumes.
    in_channels
        Channels of the image.
    channels
        Width after each halving of the image, so that every side is a multiple of ``2 ** len(channels)``.
    blocks
        Residual blocks at the coarsest level, on either way.
    code_dim
        Length of the vectors.
    out_channels
        Of what is decoded; as many as of the image where None.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        channels: tuple[int, ...],
        blocks: int,
        code_dim: int,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        convolution, transposed = CONVOLUTION[dims], TRANSPOSED[dims]
        self.memory_format = CHANNELS_LAST[dims]
        down: list[nn.Module] = []
        for inside, outside in itertools.pairwise((in_channels, *channels)):
            down += [convolution(inside, outside, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        width = channels[-1]
        self.encoder = nn.Sequential(
            *down[:-1],
            *(ResidualBlock(dims, width) for _ in range(blocks)),
            nn.ReLU(),
            convolution(width, code_dim, kernel_size=1),
        )
        up: list[nn.Module] = []
        for inside, outside in itertools.pairwise((*channels[::-1], out_channels or in_channels)):
            up += [nn.ReLU(), transposed(inside, outside, kernel_size=4, stride=2, padding=1)]
        self.decoder = nn.Sequential(
            convolution(code_dim, width, kernel_size=3, padding=1),
            *(ResidualBlock(dims, width) for _ in range(blocks)),
            *up,
        )

    def encode(self, x: Tensor) -> Tensor:
        """Return the vectors of an image.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        Tensor
            ``(b, code_dim, *grid)``, a ``2 ** len(channels)``-th of the image's sides.
        """
        return self.encoder(x.contiguous(memory_format=self.memory_format))

    def decode(self, vectors: Tensor) -> Tensor:
        """Return the image of vectors; its values are not bounded.

        Parameters
        ----------
        vectors
            ``(b, code_dim, *grid)``.

        Returns
        -------
        Tensor
            ``(b, out_channels, *s)``.
        """
        return self.decoder(vectors.contiguous(memory_format=self.memory_format))
