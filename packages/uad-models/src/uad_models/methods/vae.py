"""VAE: a variational autoencoder of healthy brains; what its mean code cannot rebuild is anomalous.

Papers
------
Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014 (https://arxiv.org/abs/1312.6114): the bound.

S. Kuznetsov, "Self-supervised lesion segmentation", poster, University of Sussex: equations 1 and 2, a Gaussian
likelihood and a standard normal prior; preset ``poster``, its best model, VAE 32.

Lambert, Louis, Doyle, Forbes, Dojat, Tucholka, "Leveraging 3D information in unsupervised brain MRI segmentation",
ISBI 2021 (https://arxiv.org/abs/2101.10674): preset ``paper``; dense and spatial codes, slices and volumes,
``objective="robust"`` (equation 2).

Rybkin, Daniilidis, Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021
(https://arxiv.org/abs/2006.13202): where no scale is predicted, the one that fits the batch best is used, so that
``beta = 1`` is a true bound and nothing is left to balance.

Mao et al., MICCAI 2020: ``predict_scale``; see `uad_models.methods.ae`, which the quick preset follows.

Reductions
----------
``objective="elbo"``: the negative evidence lower bound: log likelihood summed over brain voxels and channels, KL
divergence summed over the code, both averaged over the batch, then both divided by the mean number of voxels. The
division only sets the loss's unit to nats per voxel; it does not change the balance.

``objective="robust"``: equation 2, ``error / Σ + β(t) KL``: the mean ℓ1 or ℓ2 error per voxel over its mean in the
last 10 steps, and the KL divergence averaged over the code. The paper gives neither reduction; with the KL summed, the
first term, near 1 by construction, would be outweighed by any code in use.

Deviations and choices
----------------------
- Lambert and the poster name neither widths, latent size (but for the poster's 32), optimiser nor length of training:
  those here are common values. Lambert's volumes are 160 × 192 × 75, here the size is the data's.
- The poster does not say which variance its Gaussian has: the one that fits the batch best is used.
- In ``eval()`` mode the robust objective takes ``Σ = β = 1`` (equation 1), so that validations can be compared.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import AE, AEConfig, brain_mean, magnitude, negative_log_likelihood

CYCLE = 50  # Lambert's T, in steps
WINDOW = 10  # Lambert's L, in steps


@dataclass(frozen=True)
class VAEConfig(AEConfig):
    """Settings of `VAE`.

    Parameters
    ----------
    in_channels, size, channels, latent, latent_dim, reconstruction_loss, predict_scale, residual
        See `AEConfig`.
    objective
        ``"elbo"``, or ``"robust"`` (Lambert's equation 2, which needs ``predict_scale=False``).
    beta
        Weight of the KL divergence, not negative; 1 is the bound.
    """

    objective: Literal["elbo", "robust"] = "elbo"
    beta: float = 1.0

    def check(self) -> None:
        """Refuse what `AEConfig` refuses, a negative weight, and an objective that would drop the predicted scale."""
        super().check()
        if self.beta < 0:
            raise InputError(f"beta: expected at least 0, got {self.beta}")
        if self.objective == "robust" and self.predict_scale:
            raise InputError('objective "robust" learns no scale: set predict_scale to false, or objective to "elbo"')


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
    steps_done: Tensor
    last_errors: Tensor
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
        "paper": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 128,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "signed",
                "objective": "robust",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))
        self.register_buffer("last_errors", torch.zeros(WINDOW))

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the objective of the config, reduced as this file's head says; see `Method.loss`.

        Also ``"error"``, the mean ℓ1 or ℓ2 error per brain voxel, and ``"kl"``, summed over the code and averaged over
        the batch, to log.
        """
        mean, log_variance = (code.float() for code in self.network.encode(batch["image"]))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        reconstruction, scale = self.decode(mean + torch.exp(log_variance / 2) * noise)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1)
        difference, norm = batch["image"].float() - reconstruction, self.config.reconstruction_loss
        error = brain_mean(magnitude(difference, norm), batch["brain"])
        if self.config.objective == "robust":
            loss = self._robust(error, divergence.mean())
        else:
            if scale is None:
                scale = best_scale(error, norm)
            unlikely = brain_mean(negative_log_likelihood(difference, scale, norm), batch["brain"])
            voxels = (batch["brain"].sum() * difference.shape[1]).clamp(min=1)
            loss = unlikely + self.config.beta * divergence.sum() / voxels
        return {"loss": loss, "error": error.detach(), "kl": divergence.detach().sum(dim=1).mean()}

    def _robust(self, error: Tensor, divergence: Tensor) -> Tensor:
        """Lambert's equation 2, one step further in its cycle; in eval mode his equation 1."""
        if not self.training:
            return error + self.config.beta * divergence
        step = int(self.steps_done)
        self.last_errors[step % WINDOW] = error.detach()
        self.steps_done += 1
        typical = self.last_errors[: step + 1].mean().clamp(min=1e-8)
        return error / typical + self.config.beta * min(2 * (step % CYCLE) / CYCLE, 1.0) * divergence


def best_scale(error: Tensor, norm: Literal["l1", "l2"]) -> Tensor:
    """Return the one scale under which errors are likeliest (Rybkin, section 4.2).

    Parameters
    ----------
    error
        Mean absolute (ℓ1) or squared (ℓ2) error, scalar.
    norm
        ``"l1"``: the Laplace scale, the mean absolute error; ``"l2"``: the standard deviation.

    Returns
    -------
    Tensor
        Scalar, positive. The gradient passes through it.
    """
    error = error.clamp(min=1e-8)
    return error if norm == "l1" else error.sqrt()
