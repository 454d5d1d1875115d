"""VAE: a variational autoencoder of healthy brains; what its mean code cannot rebuild is anomalous.

Papers
------
Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014 (https://arxiv.org/abs/1312.6114): the bound.

Lambert, Louis, Doyle, Forbes, Dojat, Tucholka, "Leveraging 3D information in unsupervised brain MRI segmentation",
ISBI 2021 (https://arxiv.org/abs/2101.10674): preset ``paper``, its network, dense or spatial, with its equation 1. Its
equation 2 is the method `uad_models.methods.collapse_robust_vae`.

S. Kuznetsov, "Self-supervised lesion segmentation", poster, University of Sussex: equations 1 and 2, a Gaussian
likelihood and a standard normal prior; preset ``poster``, its best model, VAE 32. Its other models differ by
``latent_dim`` (8 to 512).

A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU München
2020, section 5.2.3: preset ``thesis``, six blocks of kernel 4 and stride 2, widths 16 to 512, leaky ReLU of 0.1; the
512 are a mean and a log variance of 256 channels each.

Higgins et al., "beta-VAE", ICLR 2017 (https://openreview.net/forum?id=Sy2fzU9gl): ``beta``.

Kingma et al., "Improving variational inference with inverse autoregressive flow", NeurIPS 2016
(https://arxiv.org/abs/1606.04934), appendix C.8: ``free_bits``.

Rybkin, Daniilidis, Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021
(https://arxiv.org/abs/2006.13202): where no scale is predicted or fixed, the one that fits the batch best is used, so
that ``beta = 1`` is a true bound and nothing is left to balance.

Mao et al., MICCAI 2020: ``predict_scale``; see `uad_models.methods.ae`, which the quick preset follows.

Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016 (https://arxiv.org/abs/1509.00519), section
5.2: a latent unit is active if its mean varies over the data, with a variance above 0.01.

Losses
------
The negative evidence lower bound: log likelihood summed over brain voxels and channels, KL divergence summed over the
code, both averaged over the batch, then both divided by the mean number of voxels. The division only sets the loss's
unit to nats per voxel; it does not change the balance.

``reconstruction_loss`` names the likelihood: ``"l2"`` is the Gaussian negative log likelihood, ``"l1"`` that of a
Laplace distribution, ``"ssim"`` that of an exponential distribution of ``1 − SSIM``. Whose scale is, in turn, predicted
per voxel (``predict_scale``), the same for all and fixed (``fixed_scale``), or the likeliest for the batch. The
textbook's ``‖x − x̂‖² + KL`` is ``"l2"`` with ``fixed_scale = √½``, ``|x − x̂|₁ + KL`` is ``"l1"`` with 1.

``free_bits`` λ: the divergence of each unit of the code is averaged over the batch first, and counts as λ where it is
less.

Deviations and choices
----------------------
- Lambert and the poster name neither widths, latent size (but for the poster's 32), optimiser nor length of training:
  those here are common values. Lambert's volumes are 160 × 192 × 75, here the size is the data's.
- The poster does not say which variance its Gaussian has, Lambert's equation 1 not its scale: the likeliest is used.
- The thesis prints a squared error and a prior but no weight of the divergence: the bound, with the likeliest variance.
  What splits into mean and log variance is neither normalised nor activated. The decoder takes 256 channels, so it has
  256, 256, 128, 64, 32, 16.
- Active units are counted over a batch, not over all data.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import (
    AE,
    AEConfig,
    ReconstructionLoss,
    brain_mean,
    deviation,
    magnitude,
    negative_log_likelihood,
)

ACTIVE = 0.01  # Burda's threshold on the variance of a unit's mean


@dataclass(frozen=True)
class VAEConfig(AEConfig):
    """Settings of `VAE`.

    Parameters
    ----------
    in_channels, size, channels, kernels, strides, dilations, pools, latent, latent_dim, code_kernel, code_stride
        See `AEConfig`; ``latent`` is ``"dense"`` or ``"spatial"``.
    reconstruction_loss, predict_scale, residual, dropout, mc_samples
        See `AEConfig`; ``reconstruction_loss`` names the likelihood, see this file's head.
    beta
        Weight of the KL divergence, not negative; 1 is the bound.
    free_bits
        What the divergence of each unit of the code costs at least, in nats, not negative.
    fixed_scale
        Scale of the likelihood (standard deviation for ``"l2"``), positive, in the unit of the image; None for the
        likeliest, or with ``predict_scale``.
    """

    beta: float = 1.0
    free_bits: float = 0.0
    fixed_scale: float | None = None

    def check(self) -> None:
        """Refuse what `AEConfig` refuses, a code without a distribution, negative weights, and two scales."""
        super().check()
        if self.latent == "features":
            raise InputError('latent: expected "dense" or "spatial" for a code with mean and variance, got "features"')
        for name in ("beta", "free_bits"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if self.fixed_scale is not None and (self.predict_scale or self.fixed_scale <= 0):
            raise InputError(
                f"fixed_scale: expected a positive number, and predict_scale false, got {self.fixed_scale} and "
                f"predict_scale={self.predict_scale}"
            )


class VAE(AE):
    """Variational autoencoder with a dense or spatial code; a subclass of `AE` with a second head.

    Parameters
    ----------
    config
        See `VAEConfig`.
    """

    name = "vae"
    Config = VAEConfig
    config: VAEConfig
    heads = 2
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "poster": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 32,
                "reconstruction_loss": "l2",
                "predict_scale": False,
                "residual": "signed",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
        "thesis": Preset(
            config={
                "channels": (16, 32, 64, 128, 256),
                "latent": "spatial",
                "latent_dim": 256,
                "code_kernel": 4,
                "code_stride": 2,
                "reconstruction_loss": "l2",
                "predict_scale": False,
                "residual": "l1",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
        "paper": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 128,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "signed",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
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
        """Return the negative bound in nats per voxel, reduced as this file's head says; see `Method.loss`.

        Also, to log: ``"error"``, the mean per brain voxel of what ``reconstruction_loss`` names, ``"kl"``, summed over
        the code and averaged over the batch, and what `collapse_diagnostics` gives.
        """
        image, brain = batch["image"], batch["brain"]
        drop = self.training_dropout(generator)
        mean, log_variance = (code.float() for code in self.network.encode(image, drop=drop))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        reconstruction, scale = self.decode(mean + torch.exp(log_variance / 2) * noise, drop=drop)
        divergence = divergence_from_prior(mean, log_variance)
        difference = deviation(image, reconstruction, brain, self.config.reconstruction_loss)
        loss = self.objective(difference, scale, self.charged(divergence), brain)
        error = brain_mean(magnitude(difference.detach(), self.config.reconstruction_loss), brain)
        logged = {"error": error, "kl": divergence.detach().sum(dim=1).mean()}
        return {"loss": loss, **logged, **collapse_diagnostics(mean, divergence)}

    def charged(self, divergence: Tensor) -> Tensor:
        """Return the KL divergence that the loss counts: with free bits, each unit's mean, but no less than these.

        Parameters
        ----------
        divergence
            ``(b, n)``, see `divergence_from_prior`.

        Returns
        -------
        Tensor
            ``(b, n)``, in nats.
        """
        if not self.config.free_bits:
            return divergence
        return divergence.mean(dim=0).clamp(min=self.config.free_bits).expand_as(divergence)

    def objective(self, difference: Tensor, scale: Tensor | None, divergence: Tensor, brain: Tensor) -> Tensor:
        """Return the negative bound, in nats per voxel.

        Parameters
        ----------
        difference
            ``(b, c, *s)``, see `deviation`.
        scale
            ``(b, c, *s)`` as predicted, or None.
        divergence
            ``(b, n)``.
        brain
            ``(b, 1, *s)`` bool.

        Returns
        -------
        Tensor
            Scalar.
        """
        voxels = (brain.sum() * difference.shape[1]).clamp(min=1)
        return self.unlikelihood(difference, scale, brain) + self.config.beta * divergence.sum() / voxels

    def unlikelihood(self, difference: Tensor, scale: Tensor | None, brain: Tensor) -> Tensor:
        """Return the mean negative log likelihood per brain voxel and channel, in nats.

        Parameters
        ----------
        difference, scale, brain
            See `objective`.

        Returns
        -------
        Tensor
            Scalar.
        """
        norm = self.config.reconstruction_loss
        if self.config.fixed_scale is not None:
            scale = torch.tensor(self.config.fixed_scale, device=difference.device)
        elif scale is None:
            scale = best_scale(brain_mean(magnitude(difference, norm), brain), norm)
        return brain_mean(negative_log_likelihood(difference, scale, norm), brain)


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence of a diagonal normal posterior from the standard normal prior, by unit.

    Parameters
    ----------
    mean, log_variance
        ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.

    Returns
    -------
    Tensor
        ``(b, n)``, in nats, not negative; ``n`` units of the code.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1)


@torch.no_grad()
def collapse_diagnostics(mean: Tensor, divergence: Tensor) -> dict[str, Tensor]:
    """Return what shows posterior collapse: units whose code is the prior whatever the image.

    Parameters
    ----------
    mean
        ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
    divergence
        ``(b, n)``.

    Returns
    -------
    dict
        Scalars: ``"active_units"``, how many units' means have a variance over the batch above 0.01 (Burda, section
        5.2); ``"kl_unit_min"``, ``"kl_unit_mean"``, ``"kl_unit_max"``, over units, of the divergence averaged over the
        batch, in nats.
    """
    units = divergence.mean(dim=0)
    active = mean.flatten(1).var(dim=0, correction=0) > ACTIVE
    return {
        "active_units": active.sum().float(),
        "kl_unit_min": units.min(),
        "kl_unit_mean": units.mean(),
        "kl_unit_max": units.max(),
    }


def best_scale(error: Tensor, norm: ReconstructionLoss) -> Tensor:
    """Return the one scale under which errors are likeliest (Rybkin, section 4.2).

    Parameters
    ----------
    error
        Mean absolute (ℓ1), squared (ℓ2) or ``1 − SSIM`` error, scalar.
    norm
        ``"l2"``: the standard deviation; else the mean error, the scale of a Laplace or exponential distribution.

    Returns
    -------
    Tensor
        Scalar, positive. The gradient passes through it.
    """
    error = error.clamp(min=1e-8)
    return error.sqrt() if norm == "l2" else error
