"""A U-Net that is told how severe the corruption of its image is.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.

Sources: Perez, Strub, de Vries, Dumoulin, Courville, "FiLM: visual reasoning with a general conditioning layer", AAAI
2018 (https://arxiv.org/abs/1709.07871): features are scaled and shifted by what a small network makes of the condition;
Ho, Jain, Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020 (https://arxiv.org/abs/2006.11239): a step
enters as sines and cosines of geometrically spaced frequencies. The layers are those of `uad_models.networks.unet`.
"""

import math

import torch
from torch import Tensor, nn

from uad_models.networks.unet import UNet

_LONGEST_PERIOD = 1e4  # steps per radian of the slowest wave, as in diffusion models


class ConditionedUNet(UNet):
    """Image and step to an image of the same size.

    Parameters
    ----------
    dims, in_channels, out_channels, channels
        See `UNet`.
    embedding
        Numbers that a step is described by, even and at least 2.
    """

    def __init__(
        self, *, dims: int, in_channels: int, out_channels: int, channels: tuple[int, ...], embedding: int = 64
    ) -> None:
        super().__init__(dims=dims, in_channels=in_channels, out_channels=out_channels, channels=channels)
        self.embedding = embedding
        self.describe = nn.Sequential(
            nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.film_down = nn.ModuleList(nn.Linear(embedding, 2 * width) for width in channels)
        self.film_up = nn.ModuleList(nn.Linear(embedding, 2 * width) for width in channels[-2::-1])

    def forward(self, x: Tensor, step: Tensor) -> Tensor:  # type: ignore[override]
        """Map an image, given its step.

        Parameters
        ----------
        x
            ``(b, in_channels, *s)``.
        step
            ``(b,)`` int or float, at least 0.

        Returns
        -------
        Tensor
            ``(b, out_channels, *s)``.
        """
        x = x.contiguous(memory_format=self.memory_format)
        described = self.describe(step_waves(step, self.embedding))
        skips = []
        for depth, (stage, film) in enumerate(zip(self.down, self.film_down, strict=True)):
            x = _modulated(stage(self.pool(x) if depth else x), film(described))
            skips.append(x)
        for enlarge, stage, film, skip in zip(self.raise_, self.up, self.film_up, skips[-2::-1], strict=True):
            x = _modulated(stage(torch.cat([enlarge(x), skip], dim=1)), film(described))
        return self.last(x)


def step_waves(step: Tensor, length: int) -> Tensor:
    """Return sines and cosines of steps, at frequencies from 1 down to 1 / 10,000 radians per step.

    Parameters
    ----------
    step
        ``(b,)``.
    length
        Even, at least 2.

    Returns
    -------
    Tensor
        ``(b, length)`` float32: the sines, then the cosines.
    """
    half = length // 2
    exponent = torch.arange(half, device=step.device, dtype=torch.float32) / max(half - 1, 1)
    phase = step.float()[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) * exponent)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def _modulated(features: Tensor, film: Tensor) -> Tensor:
    """Scale and shift each channel; ``film`` is ``(b, 2 c)``, and 0 changes nothing."""
    scale, shift = film.view(*film.shape, *(1 for _ in features.shape[2:])).chunk(2, dim=1)
    return features * (1 + scale) + shift
