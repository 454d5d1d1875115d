"""VAE."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_models.method import Method, Preset, brain_of, residual_map
from uad_models.methods.ae import AEConfig, brain_error
from uad_models.networks.encoder_decoder import EncoderDecoder


@dataclass(frozen=True)
class VAEConfig(AEConfig):
    """Settings of `VAE`."""

    beta: float = 1.0


class VAE(Method):
    """Variational autoencoder with a dense or spatial code."""

    name = "vae"
    Config = VAEConfig
    config: VAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(train={"steps": 600, "batch_size": 32, "learning_rate": 1e-3}),
        "paper": Preset(train={"steps": 20000, "batch_size": 64, "learning_rate": 1e-4}),
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        self.network = EncoderDecoder(
            in_channels=config.in_channels,
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
        """Return the negative evidence lower bound per brain voxel; see `Method.loss`."""
        mean, log_variance = (code.float() for code in self.network.encode(batch["image"]))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        reconstruction = self.network.decode(mean + torch.exp(log_variance / 2) * noise)
        error = brain_error(batch, reconstruction, self.config.reconstruction_loss)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(dim=1).mean()
        voxels = batch["brain"].sum() * batch["image"].shape[1] / len(mean)
        scale = 1.0 if self.config.reconstruction_loss == "l1" else 0.5
        loss = scale * error.clamp(min=1e-8).log() + self.config.beta * divergence / voxels.clamp(min=1)
        return {"loss": loss, "reconstruction": error.detach(), "kl": divergence.detach()}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded mean; see `Method.reconstruct`."""
        mean, _ = self.network.encode(x)
        return self.network.decode(mean) * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual; see `Method.anomaly_map`."""
        return residual_map(x, self.reconstruct(x), self.config.residual)
