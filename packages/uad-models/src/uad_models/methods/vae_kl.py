"""VAE-KL: a variational autoencoder whose map also asks which voxels make its code unlikely.

Papers
------
Zimmerer, Isensee, Petersen, Kohl, Maier-Hein, "Unsupervised anomaly localization using variational auto-encoders",
MICCAI 2019 (https://arxiv.org/abs/1907.02796): the derivative of the KL term with respect to the image, and its
product with the reconstruction error. Training is that of `uad_models.methods.vae`.

Scores, chosen by name: ``voxel_score`` for the map (``residual`` says which residual is multiplied), ``sample_score``
for the image. See `uad_models.scores`.

Deviations and choices
----------------------
- The network and the predicted scale of the quick preset are those of `vae`, not the paper's (four convolutions of 16
  to 256 channels, 1024-dimensional code); preset ``paper`` has the paper's kind of loss and score at this network's
  widths, with values common for it where the paper names none.
- The gradient is smoothed by a Gaussian and divided by its mean: see `uad_models.scores.kl_gradient`.
- Without a predicted scale, likelihoods take the one that fits the mean error of recent training batches.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset, brain_of
from uad_models.methods.ae import deviation, negative_log_likelihood
from uad_models.methods.vae import VAE, VAEConfig, best_scale, divergence_from_prior
from uad_models.scores.code_model import fixed_codes
from uad_models.scores.kl_gradient import gradient_map, times_gradient
from uad_models.scores.mahalanobis import mahalanobis
from uad_models.scores.sample_scores import SampleScore, log_normal, sample_score

VoxelScore = Literal["residual", "kl_gradient", "kl_product", "elbo_gradient", "elbo_product", "mahalanobis"]
MEMORY = 0.1  # weight of the newest batch in the mean error
REPEATS = 8  # reconstructions for the Mahalanobis score


@dataclass(frozen=True)
class VAEKLConfig(VAEConfig):
    """Settings of `VAEKL`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEConfig`.
    voxel_score
        The map: ``"residual"``; ``"kl_gradient"`` or ``"elbo_gradient"``, the size of the derivative of the KL term or
        of the negative bound; ``"kl_product"`` or ``"elbo_product"``, the residual times that derivative;
        ``"mahalanobis"``, the distance to the reconstructions of several codes.
    sample_score
        The image's score: see `uad_models.scores.sample_scores`.
    gradient_smoothing
        Standard deviation in voxels of the Gaussian over the derivative, at least 0.
    """

    voxel_score: VoxelScore = "kl_product"
    sample_score: SampleScore = "l2"
    gradient_smoothing: float = 2.0

    def check(self) -> None:
        """Refuse what `VAEConfig` refuses, and a negative width."""
        super().check()
        if self.gradient_smoothing < 0:
            raise InputError(f"gradient_smoothing: expected at least 0, got {self.gradient_smoothing}")


class VAEKL(VAE):
    """Variational autoencoder with scores by name; a `uad_models.scores.code_model.CodeModel`.

    Parameters
    ----------
    config
        See `VAEKLConfig`.
    """

    name = "vae_kl"
    Config: ClassVar[type[VAEKLConfig]] = VAEKLConfig
    config: VAEKLConfig
    typical_error: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (16, 32, 64, 256),
                "latent_dim": 256,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "l1",
                "voxel_score": "kl_product",
                "sample_score": "elbo",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-4, "validate_every": 500},
        ),
    }

    def __init__(self, config: VAEKLConfig) -> None:
        super().__init__(config)
        self.register_buffer("typical_error", torch.zeros(()))

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of `VAE`, and remember the error for likelihoods; see `Method.loss`."""
        losses = super().loss(batch, stage=stage, group=group, generator=generator)
        self.remember(losses["error"])
        return losses

    def remember(self, error: Tensor) -> None:
        """Take a training batch's mean error into the running mean.

        Parameters
        ----------
        error
            Scalar: mean per voxel of what ``reconstruction_loss`` names.
        """
        if self.training:
            started = self.typical_error > 0
            self.typical_error.copy_(
                torch.where(started, self.typical_error.lerp(error.detach(), MEMORY), error.detach())
            )

    def typical_scale(self) -> Tensor:
        """Return the scale of the likelihood where none is predicted: ``fixed_scale``, or the likeliest, a scalar."""
        if self.config.fixed_scale is not None:
            return torch.full_like(self.typical_error, self.config.fixed_scale)
        return best_scale(self.typical_error, self.config.reconstruction_loss)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of each image's code.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        tuple of Tensor
            Each ``(b, *code)`` float32.
        """
        mean, log_variance = self.network.encode(x)
        return mean.float(), log_variance.float()

    def divergence(self, x: Tensor) -> Tensor:
        """Return the KL divergence of each image's code from the prior.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        Tensor
            ``(b,)``, summed over the code, nats.
        """
        return divergence_from_prior(*self.posterior(x)).sum(dim=1)

    def log_prior(self, code: Tensor) -> Tensor:
        """Return the log density of codes under the standard normal prior.

        Parameters
        ----------
        code
            ``(b, *code)``.

        Returns
        -------
        Tensor
            ``(b,)``, summed over the code, nats.
        """
        return log_normal(code, torch.zeros_like(code), torch.zeros_like(code))

    def log_likelihood(self, x: Tensor, code: Tensor) -> Tensor:
        """Return how likely images are given codes, up to a constant per voxel.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        code
            ``(b, *code)``.

        Returns
        -------
        Tensor
            ``(b,)``, summed over brain voxels and channels, nats.
        """
        reconstruction, scale = self.decode(code)
        norm = self.config.reconstruction_loss
        if scale is None:
            scale = self.typical_scale()
        brain = brain_of(x)
        unlikely = negative_log_likelihood(deviation(x, reconstruction, brain, norm), scale, norm)
        return -(unlikely * brain).flatten(1).sum(dim=1)

    def image_of(self, code: Tensor) -> Tensor:
        """Return the image that a code stands for.

        Parameters
        ----------
        code
            ``(b, *code)``.

        Returns
        -------
        Tensor
            ``(b, c, *s)`` float32, not yet cut to a brain.
        """
        return self.decode(code)[0]

    def negative_bound(self, x: Tensor) -> Tensor:
        """Return the negative evidence lower bound at the mean code, for its derivative.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b,)``, nats.
        """
        return self.divergence(x) - self.log_likelihood(x, self.posterior(x)[0])

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the map of ``voxel_score``; see `VAEKLConfig` and `Method.anomaly_map`."""
        score = self.config.voxel_score
        if score == "residual":
            return super().anomaly_map(x)
        if score == "mahalanobis":
            return self._mahalanobis(x)
        value = self.divergence if score.startswith("kl") else self.negative_bound
        gradient = gradient_map(value, x, smoothing=self.config.gradient_smoothing)
        if score.endswith("gradient"):
            return gradient
        return times_gradient(super().anomaly_map(x), gradient, brain_of(x))

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the score of ``sample_score``; see `Method.anomaly_score`."""
        return sample_score(self, x, self.config.sample_score)

    def _mahalanobis(self, x: Tensor) -> Tensor:
        """Distance to the reconstructions of codes drawn with fixed noise."""
        codes = fixed_codes(*self.posterior(x), REPEATS)
        return mahalanobis(x, torch.stack([self.image_of(code) for code in codes])) * brain_of(x)
