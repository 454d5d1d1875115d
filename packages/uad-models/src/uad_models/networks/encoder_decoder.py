"""A convolutional encoder and decoder around a dense or a spatial code, for slices and volumes alike.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

The layout is that of Lambert et al., "Leveraging 3D information in unsupervised brain MRI segmentation", ISBI 2021
(https://arxiv.org/abs/2101.10674), section 2.3: strided convolutions, one more layer per head that gives a code, and
a symmetric decoder with one more layer. In the dense configuration the layers at the code are fully connected, in the
spatial one they are convolutions; volumes swap every convolution for its 3D counterpart.

The paper does not say, so chosen here: kernels of 4 with stride 2, kernels of 1 at a spatial code, batch
normalisation, leaky ReLU, and no activation at the end, so that a voxel can be brighter than 1.

Other papers print kernels, strides, dilations and max-pooling of each layer, and a decoder that is the encoder
transposed (Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder",
Tables 1 and 2). Chosen for these:

- Padding, which no table gives, is ``dilation · (kernel − 1) // 2`` on both sides: an odd kernel keeps the image's size
  at stride 1, an even one shortens it by one voxel.
- The layer that mirrors a convolution has its kernel, dilation and padding. Its stride is the convolution's times the
  pooling after it, and its output padding whatever gives the size back: the image decoded is always as large as the
  image encoded.
- Convolutions before a normalisation have no bias of their own.
- A pooling counts what is left at the end of an axis as well.
- A code may also be the last layer's features themselves (``latent="features"``), for a table that ends without one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from uad_data.errors import InputError
from uad_models.networks.feature_dropout import FeatureDropout
from uad_models.networks.memory_format import CHANNELS_LAST

Latent = Literal["dense", "spatial", "features"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


@dataclass(frozen=True)
class Layer:
    """A convolution of the encoder, which the decoder mirrors.

    Parameters
    ----------
    width
        Channels that it gives.
    kernel, stride, dilation
        Along every axis, at least 1.
    pool
        Side of the max-pooling after it; 1 is none.
    """

    width: int
    kernel: int = 4
    stride: int = 2
    dilation: int = 1
    pool: int = 1

    @property
    def padding(self) -> int:
        """Voxels added on both sides."""
        return self.dilation * (self.kernel - 1) // 2

    @property
    def reach(self) -> int:
        """Voxels from one end of the kernel to the other, less one."""
        return self.dilation * (self.kernel - 1)

    def shrink(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of what it gives for an image of a size."""
        strided = ((side + 2 * self.padding - self.reach - 1) // self.stride + 1 for side in size)
        return tuple(-(-side // self.pool) for side in strided)

    def leftover(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output padding with which its mirror gives an image of this size back."""
        return tuple(
            side - ((small - 1) * self.stride * self.pool - 2 * self.padding + self.reach + 1)
            for side, small in zip(size, self.shrink(size), strict=True)
        )


def layers_of(
    channels: tuple[int, ...],
    *,
    kernels: tuple[int, ...] = (4,),
    strides: tuple[int, ...] = (2,),
    dilations: tuple[int, ...] = (1,),
    pools: tuple[int, ...] = (1,),
) -> tuple[Layer, ...]:
    """Return the encoder's layers from a table's columns.

    Parameters
    ----------
    channels
        Width of each layer, all positive.
    kernels, strides, dilations, pools
        See `Layer`; one number for all layers, or one for each.

    Returns
    -------
    tuple of Layer
        From the image to the code.

    Raises
    ------
    InputError
        No layer, a number below 1, a column of another length, or a pooling after an even kernel: what it shortens the
        image by could not be given back.
    """
    if not channels or min(channels) < 1:
        raise InputError(f"channels: expected at least one width, all positive, got {channels}")
    columns = {"kernels": kernels, "strides": strides, "dilations": dilations, "pools": pools}
    for name, column in columns.items():
        if len(column) not in (1, len(channels)) or min(column) < 1:
            raise InputError(f"{name}: expected one number or {len(channels)}, all positive, got {column}")
    rows = zip(channels, *(c if len(c) > 1 else c * len(channels) for c in columns.values()), strict=True)
    layers = tuple(Layer(*row) for row in rows)
    for layer in layers:
        if layer.pool > 1 and layer.reach % 2:
            raise InputError(f"pools: expected an odd kernel before a pooling, got {layer.kernel}")
    return layers


class EncoderDecoder(nn.Module):
    """Image to code and code to image.

    Parameters
    ----------
    in_channels
        Channels of the image.
    size
        ``(h, w)`` or ``(d, h, w)``.
    channels, kernels, strides, dilations, pools
        The encoder's layers, see `layers_of`; unless told otherwise each halves the image.
    latent
        ``"dense"``: a code is a vector ``(b, latent_dim)``; ``"spatial"``: a grid ``(b, latent_dim, *grid)``, of the
        encoder's size unless ``code_stride`` makes it smaller; ``"features"``: what the last layer gives.
    latent_dim
        Length of the vector, or channels of the spatial code; plays no part for ``"features"``.
    code_kernel, code_stride
        Of the layers on both sides of a spatial code.
    heads
        How many codes an image is given: 1, or 2 for a mean and a log variance.
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
        kernels: tuple[int, ...] = (4,),
        strides: tuple[int, ...] = (2,),
        dilations: tuple[int, ...] = (1,),
        pools: tuple[int, ...] = (1,),
        code_kernel: int = 1,
        code_stride: int = 1,
        heads: int = 1,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        dims = len(size)
        layers = layers_of(channels, kernels=kernels, strides=strides, dilations=dilations, pools=pools)
        widths, sizes = [in_channels, *channels], [size]
        for layer in layers:
            sizes.append(layer.shrink(sizes[-1]))
        code = Layer(latent_dim, code_kernel, code_stride)
        self.memory_format = CHANNELS_LAST[dims]
        self.encoder = nn.Sequential(*(_down(dims, *each) for each in zip(widths, layers, strict=False)))
        self.heads = nn.ModuleList(_head(latent, dims, channels[-1], sizes[-1], code) for _ in range(heads))
        self.first = _first(latent, dims, channels[-1], sizes[-1], code)
        ups = [_mirror(dims, layers[i], widths[i], sizes[i]) for i in range(len(layers) - 1, 0, -1)]
        last = _transposed(dims, layers[0], out_channels or in_channels, sizes[0], bias=True)
        self.decoder = nn.Sequential(*ups, last)

    def encode(self, x: Tensor, *, drop: FeatureDropout | None = None) -> tuple[Tensor, ...]:
        """Return one code per head.

        Parameters
        ----------
        x
            ``(b, c, *s)``.
        drop
            Drops features between the layers of the encoder; what the heads see is whole.

        Returns
        -------
        tuple of Tensor
            Each ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
        """
        features = x.contiguous(memory_format=self.memory_format)
        for number, layer in enumerate(self.encoder):
            features = layer(features if drop is None or number == 0 else drop(features))
        return tuple(head(features) for head in self.heads)

    def decode(self, code: Tensor, *, drop: FeatureDropout | None = None) -> Tensor:
        """Return the image of a code; its values are not bounded.

        Parameters
        ----------
        code
            ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
        drop
            Drops features after the decoder's first layer and between its others.

        Returns
        -------
        Tensor
            ``(b, out_channels, *s)``.
        """
        features = self.first(code)
        for layer in self.decoder:
            features = layer(features if drop is None else drop(features))
        return features


def _down(dims: int, inside: int, layer: Layer) -> nn.Module:
    """Make a layer of the encoder: convolution, normalisation, activation, pooling if any."""
    convolution = CONVOLUTION[dims](
        inside,
        layer.width,
        kernel_size=layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        bias=False,
    )
    pool = [POOL[dims](layer.pool, ceil_mode=True)] if layer.pool > 1 else []
    return nn.Sequential(convolution, NORM[dims](layer.width), nn.LeakyReLU(0.1), *pool)


def _mirror(dims: int, layer: Layer, outside: int, size: tuple[int, ...]) -> nn.Module:
    """Make the layer of the decoder that gives what the encoder's was given: ``outside`` channels of a size."""
    return nn.Sequential(_transposed(dims, layer, outside, size, bias=False), NORM[dims](outside), nn.LeakyReLU(0.1))


def _transposed(dims: int, layer: Layer, outside: int, size: tuple[int, ...], *, bias: bool) -> nn.Module:
    """Transpose the convolution of a layer. With stride 2 and a kernel of 4 it favours no voxel."""
    return TRANSPOSED[dims](
        layer.width,
        outside,
        kernel_size=layer.kernel,
        stride=layer.stride * layer.pool,
        padding=layer.padding,
        output_padding=layer.leftover(size),
        dilation=layer.dilation,
        bias=bias,
    )


def _head(latent: Latent, dims: int, width: int, size: tuple[int, ...], code: Layer) -> nn.Module:
    """Features to one code: neither normalised nor activated."""
    if latent == "features":
        return nn.Identity()
    if latent == "spatial":
        return CONVOLUTION[dims](width, code.width, kernel_size=code.kernel, stride=code.stride, padding=code.padding)
    return nn.Sequential(nn.Flatten(), nn.Linear(width * math.prod(size), code.width))


def _first(latent: Latent, dims: int, width: int, size: tuple[int, ...], code: Layer) -> nn.Module:
    """Code to features: the decoder's first layer."""
    if latent == "features":
        return nn.Identity()
    if latent == "dense":
        layers: list[nn.Module] = [
            nn.Linear(code.width, width * math.prod(size), bias=False),
            nn.Unflatten(1, (width, *size)),
        ]
    elif code.kernel == 1 and code.stride == 1:
        layers = [CONVOLUTION[dims](code.width, width, kernel_size=1, bias=False)]
    else:
        layers = [_transposed(dims, code, width, size, bias=False)]
    return nn.Sequential(*layers, NORM[dims](width), nn.LeakyReLU(0.1))
