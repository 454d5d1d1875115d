"""CVAE: a variational autoencoder that also rebuilds healthy brains from corrupted images, through the mean code.

Papers
------
Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder" (University of
Bonn, BraTS 2019): section 5.2, the objective ``L_KL(f_μ(x), f_σ(x)²) + L_rec,VAE(x, g(z)) + L_rec,CE(x, g(f_μ(x̃)))``;
Table 2, left, the network of preset ``paper``; Table 3, "CVAE".

Zimmerer, Kohl, Petersen, Isensee, Maier-Hein, "Context-encoding variational autoencoder for unsupervised anomaly
detection", 2018 (https://arxiv.org/abs/1812.05941), from which the objective is taken. Its own score is that of the
method `cevae`; here the map is the residual, as in Gubaidullin.

The table: convolutions of kernel 4 and stride 2 with 16, 32, 64 and 64 channels, each followed by batch normalisation
and leaky ReLU; two heads of kernel 3, stride 2 and 64 channels, without either; the decoder is the encoder transposed.
The code of 240 × 240 pixels is a grid of 8 × 8.

Reductions
----------
As in `uad_models.methods.vae`: the KL divergence is summed over the code, both reconstructions over brain voxels and
channels, all are averaged over the batch and divided by the mean number of voxels. The paper says "MSELoss" and no
reduction: preset ``paper`` is the sum of squared errors, ``fixed_scale = √½``. With ``fixed_scale=None`` each of the
two reconstructions has the variance that fits it best.

Deviations and choices
----------------------
- The corrupted image is the paper's augmentation, random shapes (section 5.1), by default; masked patches (section 4.2,
  and Zimmerer's) are ``corruption="context_mask"``. The VAE's own term sees the image as it is.
- Each of the two passes is normalised by its own batch statistics.
- Optimiser and length of training are not given: common values. Preset ``quick`` is the small network of
  `uad_models.methods.vae` with its predicted scale.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_models.method import Preset
from uad_models.methods.ae import brain_mean, deviation, magnitude
from uad_models.methods.dae import Corruption, corrupt
from uad_models.methods.vae import VAE, VAEConfig

SUM_OF_SQUARES = 0.5**0.5  # the standard deviation at which a normal likelihood is the plain squared error


@dataclass(frozen=True)
class CVAEConfig(VAEConfig):
    """Settings of `CVAE`.

    Parameters
    ----------
    in_channels, size, channels, kernels, strides, dilations, pools, latent, latent_dim, code_kernel, code_stride
        See `VAEConfig`.
    reconstruction_loss, predict_scale, residual, dropout, mc_samples, beta, free_bits, fixed_scale
        See `VAEConfig`.
    corruption
        What the context encoder's images are corrupted by: see `uad_models.methods.dae.DAEConfig`.
    """

    corruption: Corruption = "random_shapes"


class CVAE(VAE):
    """Context variational autoencoder.

    Parameters
    ----------
    config
        See `CVAEConfig`.
    """

    name = "cvae"
    Config = CVAEConfig
    config: CVAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 300, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (16, 32, 64, 64),
                "latent": "spatial",
                "latent_dim": 64,
                "code_kernel": 3,
                "code_stride": 2,
                "reconstruction_loss": "l2",
                "predict_scale": False,
                "fixed_scale": SUM_OF_SQUARES,
            },
            train={"steps": 30000, "batch_size": 16, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the bound of `VAE` plus the context encoder's term, in nats per voxel; see `Method.loss`.

        Also ``"context_error"``, the mean error per brain voxel of the image rebuilt from the corrupted one, to log.
        """
        losses = super().loss(batch, stage=stage, group=group, generator=generator)
        image, brain, norm = batch["image"], batch["brain"], self.config.reconstruction_loss
        corrupted = corrupt(image, brain, self.config.corruption, generator=generator)
        drop = self.training_dropout(generator)
        reconstruction, scale = self.decode(self.network.encode(corrupted, drop=drop)[0], drop=drop)
        difference = deviation(image, reconstruction, brain, norm)
        context_error = brain_mean(magnitude(difference.detach(), norm), brain)
        loss = losses["loss"] + self.unlikelihood(difference, scale, brain)
        return {**losses, "loss": loss, "context_error": context_error}
