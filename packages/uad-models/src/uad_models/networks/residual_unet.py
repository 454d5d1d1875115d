"""A U-Net of residual blocks with an output at every resolution, for slices and volumes alike.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

Source: Isensee et al., "nnU-Net revisited", MICCAI 2024 (https://arxiv.org/abs/2404.09556): its residual encoder, in
which strided residual blocks halve the image, one convolution per decoder stage, and deep supervision (Isensee et al.,
2021, https://doi.org/10.1038/s41592-020-01008-z).

Deviations: group instead of instance normalisation, so that an image's mean contrast is not lost, and SiLU; the widths
are the caller's. The first layer may fold blocks of voxels into channels, which costs a fraction on a processor, and
the full-resolution output unfolds them.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uad_models.networks.folding import folded, unfolded
from uad_models.networks.memory_format import CHANNELS_LAST

GROUPS = 8
LAYER = {2: nn.Conv2d, 3: nn.Conv3d}
POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class ResidualUNet(nn.Module):
    """Image to image of the same size, and coarser ones for deep supervision.

    Parameters
    ----------
    dims
        2 for slices, 3 for volumes.
    in_channels, out_channels
        Channels of the images.
    channels
        Width of each stage, multiples of 8; there is a halving between one and the next.
    blocks
        Residual blocks of each encoder stage, at least 1.
    fold
        Side of the block of voxels that is taken as channels of one; every side of an image must be a multiple of
        ``fold * 2 ** (len(channels) - 1)``.
    coarse
        How many coarser outputs of one channel there are besides the full one, fewer than ``channels``.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        blocks: int = 1,
        fold: int = 1,
        coarse: int = 0,
    ) -> None:
        super().__init__()
        self.dims, self.fold, self.memory_format = dims, fold, CHANNELS_LAST[dims]
        cell = fold**dims
        self.stem = LAYER[dims](in_channels * cell, channels[0], 3, padding=1)
        pairs = itertools.pairwise((channels[0], *channels))
        self.down = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(dims, inside, outside, halve=depth > 0),
                *(ResidualBlock(dims, outside, outside) for _ in range(blocks - 1)),
            )
            for depth, (inside, outside) in enumerate(pairs)
        )
        steps = list(itertools.pairwise(channels[::-1]))
        self.raise_ = nn.ModuleList(UP[dims](wide, narrow, 2, stride=2) for wide, narrow in steps)
        self.up = nn.ModuleList(
            nn.Sequential(
                LAYER[dims](2 * narrow, narrow, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, narrow), nn.SiLU()
            )
            for _, narrow in steps
        )
        self.last = LAYER[dims](channels[0], out_channels * cell, 1)
        self.coarse = nn.ModuleList(LAYER[dims](width, 1, 1) for width in channels[1 : 1 + coarse])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(b, in_channels, *s)`` to ``(b, out_channels, *s)``, and to coarser grids while training.

        Parameters
        ----------
        x
            ``(b, in_channels, *s)``.

        Returns
        -------
        list of Tensor
            The full output first; in ``train()`` mode then ``coarse`` more of one channel, with sides ``s / fold / 2``,
            ``s / fold / 4``, ...
        """
        x = self.stem(folded(x, self.fold).contiguous(memory_format=self.memory_format))
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        found = [x]
        for enlarge, stage, skip in zip(self.raise_, self.up, skips[-2::-1], strict=True):
            x = stage(torch.cat([enlarge(x), skip], dim=1))
            found.append(x)
        full = unfolded(self.last(x), self.fold)
        if not self.training:
            return [full]
        return [full, *(head(each) for head, each in zip(self.coarse, found[-2::-1], strict=False))]

    def begin_with(self, value: float) -> None:
        """Let the first channel of the full output, and every coarser one, begin near a value.

        Parameters
        ----------
        value
            Of the output before training.
        """
        bias = self.last.bias
        assert isinstance(bias, Tensor)
        with torch.no_grad():
            bias[: self.fold**self.dims].fill_(value)
            for head in self.coarse:
                assert isinstance(head.bias, Tensor)
                head.bias.fill_(value)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to their input.

    Parameters
    ----------
    dims
        2 or 3.
    inside, outside
        Channels.
    halve
        Halve every side: the first convolution by its stride, the input by averaging.
    """

    def __init__(self, dims: int, inside: int, outside: int, *, halve: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            LAYER[dims](inside, outside, 3, stride=2 if halve else 1, padding=1, bias=False),
            nn.GroupNorm(GROUPS, outside),
            nn.SiLU(),
            LAYER[dims](outside, outside, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, outside),
        )
        short: list[nn.Module] = [POOL[dims](2)] if halve else []
        if inside != outside:
            short += [LAYER[dims](inside, outside, 1, bias=False), nn.GroupNorm(GROUPS, outside)]
        self.short = nn.Sequential(*short)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inside, *s)`` to ``(b, outside, *s)``, halved if asked."""
        return self.activation(self.body(x) + self.short(x))
