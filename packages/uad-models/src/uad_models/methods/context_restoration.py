"""Context restoration: two patches of a healthy brain change places and are put back; what is restored is anomalous.

Papers
------
A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU München
2020, sections 5.2.2 to 5.2.4: the swap of two patches of an eighth of the image's side, the network (Figure 5.1), the
squared error (equation 5.1) and algorithm 1. Trained as a start for `uad_models.methods.vae_pretrained`; its own
residual is a method of the thesis's tables, "Context Restoration".

Chen et al., "Self-supervised learning for medical image analysis using image context restoration", Medical Image
Analysis 2019 (https://doi.org/10.1016/j.media.2019.101539): the task; ``swaps``, the swap repeated.

Deviations and choices
----------------------
- The thesis gives the code a mean and a variance in this stage too, and prints no divergence in algorithm 1: here the
  code is drawn, and nothing but the error is minimised. Its variance begins at 1 for every image: begun at random, and
  held by no divergence, that of a unit can grow so large that the code is noise, and stay so.
- ``"error"`` is the mean over brain voxels and channels, not the sum over the image. Where a scale is predicted,
  training minimises the negative log likelihood of `uad_models.methods.ae`.
- The thesis ends training where the plotted losses "divulge". Here the weights kept are those with the lowest
  restoration error on healthy validation images: that is the loss in ``eval()`` mode, whatever training minimises.
- The swap keeps to the brain: see `uad_data.corruptions.patch_swap`.
- Preset ``thesis`` is the network of `uad_models.methods.vae`'s. The thesis leaves out learning rate, batch size and
  epochs ("The hyperparameters for training the models has been provided in"): common values. Preset ``quick`` is
  the small network of `uad_models.methods.ae`, with its predicted scale and its short code.
- Intensities are scaled as the data's recipe says; the thesis scales each image to 0 to 1.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from uad_data.corruptions import patch_swap
from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import AE, AEConfig, brain_mean, deviation, magnitude, negative_log_likelihood

#: Section 5.2.3: six halvings, the last of which gives 512 channels, a mean and a log variance of 256 each.
THESIS = {
    "channels": (16, 32, 64, 128, 256),
    "latent": "spatial",
    "latent_dim": 256,
    "code_kernel": 4,
    "code_stride": 2,
    "reconstruction_loss": "l2",
    "predict_scale": False,
    "residual": "l1",
}


@dataclass(frozen=True)
class ContextRestorationConfig(AEConfig):
    """Settings of `ContextRestoration`.

    Parameters
    ----------
    in_channels, size, channels, kernels, strides, dilations, pools, latent, latent_dim, code_kernel, code_stride
        See `AEConfig`; ``latent`` is ``"dense"`` or ``"spatial"``.
    reconstruction_loss, predict_scale, residual, dropout, mc_samples
        See `AEConfig`.
    swap_side
        Side of a patch as a share of the image's, above 0 and at most 1/2.
    swaps
        How often two patches of an image change places, at least 1.
    """

    swap_side: float = 1 / 8
    swaps: int = 1

    def check(self) -> None:
        """Refuse what `AEConfig` refuses, a code without a distribution, and a swap that is none."""
        super().check()
        if self.latent == "features":
            raise InputError('latent: expected "dense" or "spatial" for a code with mean and variance, got "features"')
        if not 0 < self.swap_side <= 0.5 or self.swaps < 1:
            raise InputError(
                f"swap_side and swaps: expected above 0 and at most 0.5, and at least 1, got {self.swap_side} "
                f"and {self.swaps}"
            )


class ContextRestoration(AE):
    """Autoencoder with a drawn code that puts swapped patches back.

    Parameters
    ----------
    config
        See `ContextRestorationConfig`.
    """

    name = "context_restoration"
    Config = ContextRestorationConfig
    config: ContextRestorationConfig
    heads = 2
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "thesis": Preset(
            config=THESIS,
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: ContextRestorationConfig) -> None:
        super().__init__(config)
        _, log_variance = self.network.heads
        for parameter in log_variance.parameters():
            nn.init.zeros_(parameter)

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of the images restored from swapped ones; see `swapped_loss` and `Method.loss`."""
        return self.swapped_loss(batch, likelihood=self.training, generator=generator)

    def swapped_loss(
        self, batch: dict[str, Tensor], *, likelihood: bool, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Return the loss of the images restored from swapped ones.

        Parameters
        ----------
        batch
            See `Method.loss`.
        likelihood
            Count errors in scales where these are predicted; else the loss is the error.
        generator
            Source of patches, code and dropout's masks.

        Returns
        -------
        dict
            Scalars: ``"loss"``; to log, ``"error"``, the mean per brain voxel of what ``reconstruction_loss`` names,
            and ``"swapped_error"``, the same over the voxels that were swapped.
        """
        image, brain, norm = batch["image"], batch["brain"], self.config.reconstruction_loss
        swapped = patch_swap(image, brain, side=self.config.swap_side, swaps=self.config.swaps, generator=generator)
        drop = self.training_dropout(generator)
        code = drawn(*self.network.encode(swapped.image, drop=drop), generator=generator)
        reconstruction, scale = self.decode(code, drop=drop)
        difference = deviation(image, reconstruction, brain, norm)
        errors = magnitude(difference, norm)
        error = brain_mean(errors, brain)
        loss = error
        if likelihood and scale is not None:
            loss = brain_mean(negative_log_likelihood(difference, scale, norm), brain)
        return {"loss": loss, "error": error.detach(), "swapped_error": brain_mean(errors.detach(), swapped.mask)}


def drawn(mean: Tensor, log_variance: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """Return a code from its distribution, so that gradients reach both (Kingma and Welling's reparametrisation).

    Parameters
    ----------
    mean, log_variance
        ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
    generator
        Source of the noise.

    Returns
    -------
    Tensor
        Of their shape, float32.
    """
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean.float() + torch.exp(log_variance.float() / 2) * noise
