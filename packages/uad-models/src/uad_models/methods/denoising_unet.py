"""Denoising U-Net: learns to remove coarse noise from healthy brains; what it removes from a new scan is anomalous.

Papers: Kascenas, Pugeault, O'Neil, "Denoising autoencoders for unsupervised anomaly detection in brain MRI", MIDL 2022
(https://openreview.net/forum?id=Bm8-t_ggzVD), and Kascenas et al., "The role of noise in denoising models for anomaly
detection in medical images", 2023 (https://arxiv.org/abs/2301.08330); the pre-training of Holzschuh et al., "Combining
anomaly detection and supervised learning for medical image segmentation", MIDL 2023. Healthy slices of 128x128, scaled
by the 99th percentile of the foreground; Gaussian noise of 16x16 points, standard deviation 0.2.

Deviations: the residual is signed by default, where the papers take the absolute value, because the absolute residual
is led by what the network smooths everywhere; ``residual="l1"`` is the papers'. Optimised by AdamW with a cosine
schedule (the papers: Adam with AMSGrad and a cosine schedule). The papers' network of three halvings is
``channels=(64, 128, 256, 512)``, the preset ``paper``; ``quick`` is narrower and folds 2x2 pixels into channels first.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_data.corruptions import coarse_noise
from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, brain_of
from uad_models.networks.folding import folded, unfolded
from uad_models.networks.unet import GROUPS, UNet
from uad_models.scores import Residual, check_residual, residual_map


@dataclass(frozen=True)
class DenoisingUNetConfig(MethodConfig):
    """Settings of `DenoisingUNet`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of ``fold * 2 ** (len(channels) - 1)``.
    channels
        Width of each resolution, multiples of 8; one halving between neighbours.
    fold
        Side of the block of pixels that the network takes as channels of one: 1 is the papers' network, 2 sees the same
        image at a quarter of the cost.
    noise_sd
        Standard deviation of the coarse noise, in the unit of the image.
    noise_resolution
        Points per axis that the noise is drawn at.
    residual
        How difference becomes map: see `residual_map`.
    perceptual_network
        File with the weights of a network, for ``residual="lpips"``; see `uad_models.networks.vgg_features`.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    fold: int = 1
    noise_sd: float = 0.2
    noise_resolution: int = 16
    residual: Residual = "signed"
    perceptual_network: str = ""

    @property
    def size_multiple(self) -> int:
        """Each stage after the first halves the image."""
        return self.fold * 2 ** (len(self.channels) - 1)

    def check(self) -> None:
        """Refuse widths that cannot be normalised in groups, and noise that is none."""
        if not self.channels or any(width < 1 or width % GROUPS for width in self.channels):
            raise InputError(f"channels: expected multiples of {GROUPS}, at least one, got {self.channels}")
        if self.fold < 1:
            raise InputError(f"fold: expected at least 1, got {self.fold}")
        if self.noise_sd <= 0 or self.noise_resolution < 1:
            raise InputError(
                f"noise_sd and noise_resolution: expected above 0 and at least 1, got {self.noise_sd} "
                f"and {self.noise_resolution}"
            )
        check_residual(self.residual, scaled=False, network=self.perceptual_network)


class DenoisingUNet(Method):
    """U-Net that restores healthy images from coarse noise.

    Parameters
    ----------
    config
        See `DenoisingUNetConfig`.
    """

    name = "denoising_unet"
    Config = DenoisingUNetConfig
    config: DenoisingUNetConfig
    any_size = True
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "fold": 2},
            train={"steps": 250, "batch_size": 16, "learning_rate": 3e-3},
        ),
        "paper": Preset(
            train={
                "steps": 67200,
                "batch_size": 16,
                "learning_rate": 1e-4,
                "weight_decay": 1e-5,
                "validate_every": 1000,
            }
        ),
    }

    def __init__(self, config: DenoisingUNetConfig) -> None:
        super().__init__(config)
        dims = len(config.size)
        self.network = UNet(
            dims=dims,
            in_channels=config.in_channels * config.fold**dims,
            out_channels=config.in_channels * config.fold**dims,
            channels=config.channels,
        )

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean squared error of the restored image over brain voxels and channels; see `Method.loss`."""
        image, brain = batch["image"], batch["brain"]
        noisy = coarse_noise(
            image, brain, sd=self.config.noise_sd, resolution=self.config.noise_resolution, generator=generator
        )
        difference = (self._denoise(noisy).float() - image.float()) * brain
        return {"loss": difference.square().sum() / (brain.sum() * image.shape[1]).clamp(min=1)}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the denoised image, given without noise; see `Method.reconstruct`."""
        return self._denoise(x) * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual; see `Method.anomaly_map`."""
        return residual_map(x, self.reconstruct(x), self.config.residual, network=self.config.perceptual_network)

    def _denoise(self, x: Tensor) -> Tensor:
        """Run the network on folded images."""
        return unfolded(self.network(folded(x, self.config.fold)), self.config.fold)
