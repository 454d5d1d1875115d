"""AE: an autoencoder of healthy brains; what it cannot rebuild is anomalous.

Paper: Baur, Denner, Wiestler, Navab, Albarqouni, "Autoencoders for unsupervised anomaly segmentation in brain MR
images: a comparative study", Medical Image Analysis 2021 (https://arxiv.org/abs/2004.03271), equations 1 and 2, with
the network of Lambert et al. 2021 (see `uad_models.networks.encoder_decoder`).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, Residual, brain_of, residual_map
from uad_models.networks.encoder_decoder import EncoderDecoder, Latent


@dataclass(frozen=True)
class AEConfig(MethodConfig):
    """Settings of `AE`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of ``2 ** len(channels)``.
    channels
        Width after each halving of the image.
    latent
        ``"dense"`` (a vector) or ``"spatial"`` (a small grid).
    latent_dim
        Length of the vector, or channels of the grid.
    reconstruction_loss
        ``"l1"`` or ``"l2"``.
    residual
        How difference becomes map: see `residual_map`.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    latent: Latent = "dense"
    latent_dim: int = 32
    reconstruction_loss: Literal["l1", "l2"] = "l1"
    residual: Residual = "signed"

    @property
    def size_multiple(self) -> int:
        """Each stage of the network halves the image."""
        return 2 ** len(self.channels)

    def check(self) -> None:
        """Refuse a network without layers, and empty codes."""
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"channels: expected at least one width, all positive, got {self.channels}")
        if self.latent_dim < 1:
            raise InputError(f"latent_dim: expected at least 1, got {self.latent_dim}")


class AE(Method):
    """Autoencoder with a dense or spatial code.

    Parameters
    ----------
    config
        See `AEConfig`.
    """

    name = "ae"
    Config = AEConfig
    config: AEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3, "validate_every": 100}),
        "paper": Preset(train={"steps": 20000, "batch_size": 64, "learning_rate": 1e-4, "validate_every": 500}),
    }

    def __init__(self, config: AEConfig) -> None:
        super().__init__(config)
        self.network = EncoderDecoder(
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            size=config.size,
            channels=config.channels,
            latent=config.latent,
            latent_dim=config.latent_dim,
        )

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean ℓ1 or ℓ2 error over the batch's brain voxels and channels; see `Method.loss`."""
        (code,) = self.network.encode(batch["image"])
        return {"loss": brain_error(batch, self.network.decode(code), self.config.reconstruction_loss)}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded code; see `Method.reconstruct`."""
        (code,) = self.network.encode(x)
        return self.network.decode(code) * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual; see `Method.anomaly_map`."""
        return residual_map(x, self.reconstruct(x), self.config.residual)


def brain_error(batch: dict[str, Tensor], reconstruction: Tensor, norm: Literal["l1", "l2"]) -> Tensor:
    """Return the mean absolute (ℓ1) or squared (ℓ2) error over brain voxels and channels of a batch.

    Parameters
    ----------
    batch
        ``"image"`` ``(b, c, *s)``, ``"brain"`` ``(b, 1, *s)`` bool.
    reconstruction
        ``(b, c, *s)``.
    norm
        ``"l1"`` or ``"l2"``.

    Returns
    -------
    Tensor
        Scalar, float32.
    """
    difference = (batch["image"].float() - reconstruction.float()) * batch["brain"]
    error = difference.abs() if norm == "l1" else difference.square()
    return error.sum() / (batch["brain"].sum() * difference.shape[1]).clamp(min=1)
