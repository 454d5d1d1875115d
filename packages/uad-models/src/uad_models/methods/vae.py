"""VAE: a variational autoencoder of healthy brains that also says how far off it usually is, voxel by voxel.

Papers: Kingma and Welling, "Auto-encoding variational Bayes", 2013 (https://arxiv.org/abs/1312.6114), equation 2 of the
poster by Kuznetsov and Simpson; network of Lambert et al., ISBI 2021 (https://arxiv.org/abs/2101.10674), see
`uad_models.networks.encoder_decoder`. The scale that the decoder predicts for every voxel is that of Mao et al.,
"Abnormality detection in chest X-ray images using uncertainty prediction autoencoders", MICCAI 2020
(https://arxiv.org/abs/2006.02153), equations 3 and 4.

Loss, per brain voxel and channel: negative log-likelihood of the image under a Laplace or Gaussian distribution around the
reconstruction + beta * KL, where the KL is summed over the latents, averaged over the batch and divided by the mean number
of brain voxels and channels of an image. With ``beta=1`` that is the negative evidence lower bound per voxel.

Chosen here, because neither paper says: widths, activation, normalisation, optimiser and number of steps; 32 latents (the
poster's best). With ``scale="one"`` the scale is one number per batch, the one that makes the batch most likely (Rybkin et
al., "Simple and effective VAE training with calibrated decoders", ICML 2021), so that no weight between the two terms has
to be guessed.

The map is by default the absolute residual in units of the predicted scale: cortex and sulci, which differ from person to
person, are expected to be far off, a lesion in white matter is not.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from uad_data.errors import InputError

from uad_models.method import Method, Preset, brain_of, residual_map
from uad_models.methods.ae import AEConfig
from uad_models.networks.encoder_decoder import EncoderDecoder

_LOG_SCALE = (-6.0, 2.0)


@dataclass(frozen=True)
class VAEConfig(AEConfig):
    """Settings of `VAE`: those of `AEConfig` and these.

    Parameters
    ----------
    reconstruction_loss
        ``"l1"``: Laplace, ``"l2"``: Gaussian likelihood.
    beta
        Weight of the KL term, at least 0.
    scale
        ``"voxel"``: the decoder predicts a scale for every voxel; ``"one"``: one for the batch.
    normalise
        Divide the residual by the predicted scale; needs ``scale="voxel"``.
    """

    residual: Literal["signed", "l1", "l2"] = "l1"
    beta: float = 1.0
    scale: Literal["voxel", "one"] = "voxel"
    normalise: bool = True

    def check(self) -> None:
        """Refuse a negative weight, and a division by what is not predicted."""
        super().check()
        if self.beta < 0:
            raise InputError(f"beta: expected at least 0, got {self.beta}")
        if self.normalise and self.scale != "voxel":
            raise InputError("normalise: expected scale=voxel, which predicts what to divide by; got scale=one")


class VAE(Method):
    """Variational autoencoder with a dense or spatial code.

    Parameters
    ----------
    config
        See `VAEConfig`.
    """

    name = "vae"
    Config = VAEConfig
    config: VAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"latent_dim": 16},
            train={"steps": 600, "batch_size": 16, "learning_rate": 2e-3, "validate_every": 100},
        ),
        "paper": Preset(train={"steps": 20000, "batch_size": 64, "learning_rate": 1e-4, "validate_every": 500}),
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        self.network = EncoderDecoder(
            in_channels=config.in_channels,
            out_channels=config.in_channels * (2 if config.scale == "voxel" else 1),
            size=config.size,
            channels=config.channels,
            latent=config.latent,
            latent_dim=config.latent_dim,
            heads=2,
        )

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the negative evidence lower bound per brain voxel and channel; see `Method.loss`."""
        image, brain = batch["image"], batch["brain"]
        mean, log_variance = (code.float() for code in self.network.encode(image))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        reconstruction, log_scale = self._decode(mean + torch.exp(log_variance / 2) * noise)
        difference = (image.float() - reconstruction) * brain
        error = difference.abs() if self.config.reconstruction_loss == "l1" else difference.square()
        voxels = (brain.sum() * image.shape[1]).clamp(min=1)
        likelihood = self._negative_log_likelihood(error, log_scale, brain, voxels)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(dim=1).mean()
        loss = likelihood + self.config.beta * divergence * len(image) / voxels
        return {"loss": loss, "reconstruction": error.detach().sum() / voxels, "kl": divergence.detach()}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded mean of the code; see `Method.reconstruct`."""
        mean, _ = self.network.encode(x)
        return self._decode(mean)[0] * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual, in units of the predicted scale where that is asked for; see `Method.anomaly_map`."""
        if not self.config.normalise:
            return residual_map(x, self.reconstruct(x), self.config.residual)
        mean, _ = self.network.encode(x)
        reconstruction, log_scale = self._decode(mean)
        per_scale = torch.exp(-log_scale)
        return residual_map(x * per_scale, reconstruction * per_scale, self.config.residual)

    def _decode(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and log scale, both (b, c, *s) float32; the scale is 1 where none is predicted."""
        decoded = self.network.decode(code).float()
        if self.config.scale == "one":
            return decoded, torch.zeros_like(decoded)
        reconstruction, log_scale = decoded.chunk(2, dim=1)
        return reconstruction, log_scale.clamp(*_LOG_SCALE)

    def _negative_log_likelihood(self, error: Tensor, log_scale: Tensor, brain: Tensor, voxels: Tensor) -> Tensor:
        """Mean over brain voxels and channels, without the constant; Laplace of |error|, Gaussian of its square."""
        power = 1 if self.config.reconstruction_loss == "l1" else 2
        if self.config.scale == "one":
            return (error.sum() / voxels).clamp(min=1e-8).log() / power
        return ((error * torch.exp(-power * log_scale) / power + log_scale) * brain).sum() / voxels
