"""A U-Net for slices and volumes: the denoising network of Kascenas et al.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

Source: Kascenas, Pugeault, O'Neil, "Denoising autoencoders for unsupervised anomaly detection in brain MRI", MIDL 2022
(https://openreview.net/forum?id=Bm8-t_ggzVD), section 3: per stage two weight-standardised convolutions, each followed
by Swish and group normalisation; skip connections between encoder and decoder.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from uad_models.networks.memory_format import CHANNELS_LAST

CONVOLUTION = {2: functional.conv2d, 3: functional.conv3d}
LAYER = {2: nn.Conv2d, 3: nn.Conv3d}
POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
GROUPS = 8


class StandardisedConv(nn.Module):
    """A 3-wide convolution whose kernels are standardised to mean 0 and variance 1 / fan-in before use.

    Parameters
    ----------
    dims
        2 or 3.
    inside, outside
        Channels.
    """

    def __init__(self, dims: int, inside: int, outside: int) -> None:
        super().__init__()
        self.convolution = CONVOLUTION[dims]
        layer = LAYER[dims](inside, outside, 3)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(b, inside, *s)`` to ``(b, outside, *s)``."""
        axes = tuple(range(1, self.weight.ndim))
        variance, mean = torch.var_mean(self.weight, dim=axes, keepdim=True, correction=0)
        fan_in = self.weight[0].numel()
        weight = (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-6)
        weight = weight.contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])
        return self.convolution(x, weight, self.bias, padding=1)


class UNet(nn.Module):
    """Image to image of the same size.

    Parameters
    ----------
    dims
        2 for slices, 3 for volumes.
    in_channels, out_channels
        Channels of the images.
    channels
        Width of each stage, multiples of 8; there is a halving between one and the next, so every side must be a
        multiple of ``2 ** (len(channels) - 1)``.
    """

    def __init__(self, *, dims: int, in_channels: int, out_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _stage(dims, inside, outside) for inside, outside in itertools.pairwise((in_channels, *channels))
        )
        self.pool = POOL[dims](2)
        steps = list(itertools.pairwise(channels[::-1]))
        self.raise_ = nn.ModuleList(UP[dims](wide, narrow, 2, stride=2) for wide, narrow in steps)
        self.up = nn.ModuleList(_stage(dims, 2 * narrow, narrow) for _, narrow in steps)
        self.last = LAYER[dims](channels[0], out_channels, 1)
        self.memory_format = CHANNELS_LAST[dims]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, in_channels, *s)`` to ``(b, out_channels, *s)``."""
        x = x.contiguous(memory_format=self.memory_format)
        skips = []
        for depth, stage in enumerate(self.down):
            x = stage(self.pool(x) if depth else x)
            skips.append(x)
        for enlarge, stage, skip in zip(self.raise_, self.up, skips[-2::-1], strict=True):
            x = stage(torch.cat([enlarge(x), skip], dim=1))
        return self.last(x)


def _stage(dims: int, inside: int, outside: int) -> nn.Module:
    """Two convolutions at one resolution."""
    layers: list[nn.Module] = []
    for narrow in (inside, outside):
        layers += [StandardisedConv(dims, narrow, outside), nn.SiLU(), nn.GroupNorm(GROUPS, outside)]
    return nn.Sequential(*layers)
