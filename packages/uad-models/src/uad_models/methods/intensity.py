"""Intensity: the voxel's own brightness is its anomaly. Nothing is learned.

Paper: Meissen, Kaissis, Rueckert, "Challenging current semi-supervised anomaly segmentation methods for brain MRI",
BrainLes 2021 (https://arxiv.org/abs/2109.06023), section 3: on FLAIR, histogram equalisation followed by a threshold
beats most autoencoders. It is the baseline of every table.

Deviations: equalisation is exact (the empirical distribution function of the brain's voxels, ties kept together), not
by 256 bins, and takes each image as given: a slice in 2D, the volume in 3D.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_models.method import Method, MethodConfig, Preset
from uad_models.scores.equalised import equalise


@dataclass(frozen=True)
class IntensityConfig(MethodConfig):
    """Settings of `Intensity`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`.
    equalise
        Equalise the histogram of each image and channel inside the brain first.
    """

    equalise: bool = False


class Intensity(Method):
    """Mean brightness over channels, raw or histogram-equalised.

    Its reconstruction is an empty image, so its score is the ℓ2 norm of the brain.

    Parameters
    ----------
    config
        See `IntensityConfig`.
    """

    name = "intensity"
    Config = IntensityConfig
    trained = False
    config: IntensityConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(),
        "paper": Preset(config={"equalise": True}),
    }

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return zeros; see `Method.reconstruct`."""
        return torch.zeros_like(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the brightness; see `Method.anomaly_map`."""
        image = equalise(x) if self.config.equalise else x.float()
        return image.mean(dim=1, keepdim=True)
