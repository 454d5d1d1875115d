"""AE: an autoencoder of healthy brains; what it cannot rebuild is anomalous.

Papers
------
Baur, Denner, Wiestler, Navab, Albarqouni, "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
comparative study", Medical Image Analysis 2021 (https://arxiv.org/abs/2004.03271): the dense autoencoder and its
residual. The network is Lambert's: see `uad_models.networks.encoder_decoder`.

Mao, Xue, Wang, Zhang, Zheng, Liu, "Abnormality detection in chest X-ray images using uncertainty prediction
autoencoders", MICCAI 2020 (https://doi.org/10.1007/978-3-030-59725-2_51): ``predict_scale``. A second output is the
size of the error to expect at each voxel, learned by likelihood along with the image. It is large at folds, rims and
ventricles, where a healthy brain is hard to rebuild, and the residual is divided by it.

Deviations and choices
----------------------
- ``predict_scale`` is on unless a preset turns it off: the plain residual is dominated by the cortex's edges.
- The code is short (8 numbers): a long one carries the lesion too, into the image and into the expected error.
- The map is ``|x − x̂| / σ``, not Mao's ``(x − x̂)² / σ²``; both rank the voxels of one sequence alike.
- Preset ``paper`` is the plain autoencoder of S. Kuznetsov's poster "Self-supervised lesion segmentation" (University
  of Sussex) with the size of its best model, 32. The poster names neither widths, loss norm, optimiser nor length of
  training; those here are Lambert's norm (ℓ1) and common values.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, Residual, brain_of, residual_map
from uad_models.networks.encoder_decoder import EncoderDecoder, Latent

SMALLEST_SCALE = 0.02  # of the 99th percentile, below a scan's noise: keeps the likelihood of a flat region finite

Norm = Literal["l1", "l2"]


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
        ``"l1"`` (errors follow a Laplace distribution) or ``"l2"`` (a normal one).
    predict_scale
        Predict the error to expect at each voxel as well, and divide the residual by it.
    residual
        How difference becomes map: ``"l1"``, ``"l2"``, or ``"signed"`` (only brighter than expected is anomalous: for
        lesions known to be bright); see `residual_map`.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    latent: Latent = "dense"
    latent_dim: int = 8
    reconstruction_loss: Norm = "l2"
    predict_scale: bool = True
    residual: Residual = "l1"

    @property
    def size_multiple(self) -> int:
        """Each stage of the network halves the image."""
        return 2 ** len(self.channels)

    def check(self) -> None:
        """Refuse a network without layers or with empty ones."""
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
    heads: ClassVar[int] = 1
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 32,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "signed",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: AEConfig) -> None:
        super().__init__(config)
        self.network = EncoderDecoder(
            in_channels=config.in_channels,
            size=config.size,
            channels=config.channels,
            latent=config.latent,
            latent_dim=config.latent_dim,
            heads=self.heads,
            out_channels=config.in_channels * (2 if config.predict_scale else 1),
        )

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean over the batch's brain voxels and channels; see `Method.loss`.

        Without ``predict_scale`` the mean ℓ1 or ℓ2 error, with it the mean of `negative_log_likelihood`. Also
        ``"error"``, the mean ℓ1 or ℓ2 error, to log.
        """
        (code,) = self.network.encode(batch["image"])
        reconstruction, scale = self.decode(code)
        difference, norm = batch["image"].float() - reconstruction, self.config.reconstruction_loss
        error = brain_mean(magnitude(difference, norm), batch["brain"])
        if scale is None:
            return {"loss": error, "error": error.detach()}
        loss = brain_mean(negative_log_likelihood(difference, scale, norm), batch["brain"])
        return {"loss": loss, "error": error.detach()}

    def decode(self, code: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the image of a code and the error to expect.

        Parameters
        ----------
        code
            ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.

        Returns
        -------
        reconstruction : Tensor
            ``(b, c, *s)`` float32, not yet cut to a brain.
        scale : Tensor or None
            ``(b, c, *s)`` float32, positive; None without ``predict_scale``.
        """
        output = self.network.decode(code).float()
        if not self.config.predict_scale:
            return output, None
        reconstruction, raw = output.chunk(2, dim=1)
        return reconstruction, softplus(raw) + SMALLEST_SCALE

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded code; see `Method.reconstruct`."""
        reconstruction, _ = self.decode(self.network.encode(x)[0])
        return reconstruction * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual, in expected errors where they are predicted; see `Method.anomaly_map`."""
        reconstruction, scale = self.decode(self.network.encode(x)[0])
        return residual_map(x, reconstruction, self.config.residual, scale=scale)


def brain_mean(values: Tensor, brain: Tensor) -> Tensor:
    """Return the mean over the brain voxels and channels of a batch.

    Parameters
    ----------
    values
        ``(b, c, *s)``.
    brain
        ``(b, 1, *s)`` bool.

    Returns
    -------
    Tensor
        Scalar; 0 where there is no brain.
    """
    return (values * brain).sum() / (brain.sum() * values.shape[1]).clamp(min=1)


def magnitude(difference: Tensor, norm: Norm) -> Tensor:
    """Return the absolute (ℓ1) or squared (ℓ2) difference, voxel by voxel."""
    return difference.abs() if norm == "l1" else difference.square()


def negative_log_likelihood(difference: Tensor, scale: Tensor, norm: Norm) -> Tensor:
    """Return how unlikely each difference is, in nats, up to a constant.

    Parameters
    ----------
    difference
        Any shape.
    scale
        Broadcasts with it; positive.
    norm
        ``"l1"``: a Laplace distribution of that scale, ``|x − x̂| / b + log b``; ``"l2"``: a normal one of that
        standard deviation, ``(x − x̂)² / 2σ² + log σ``.

    Returns
    -------
    Tensor
        Shape of the two broadcast.
    """
    error = magnitude(difference / scale, norm)
    return (error if norm == "l1" else error / 2) + scale.log()
