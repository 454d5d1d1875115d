"""Collapse-robust VAE: a variational autoencoder whose two terms are kept in balance throughout its training.

Paper: Lambert, Louis, Doyle, Forbes, Dojat, Tucholka, "Leveraging 3D information in unsupervised brain MRI
segmentation", ISBI 2021 (https://arxiv.org/abs/2101.10674), section 2.2: equation 2,
``|x − x̂|₁ / Σ + β(t) KL``. ``Σ`` is the mean of the last L = 10 values of the error, which keeps the first term near 1.
``β(t)`` rises from 0 to 1 in the first half of each cycle of T = 50 steps and stays at 1 in the second (Fu et al.,
"Cyclical annealing schedule", NAACL 2019, https://arxiv.org/abs/1903.10145).

Reductions
----------
The error is the mean per brain voxel and channel. The KL divergence is averaged over the batch and over the units of
the code. The paper gives neither; with the divergence summed, the first term, near 1 by construction, would be
outweighed by any code in use.

Deviations and choices
----------------------
- Network and widths: see `uad_models.methods.vae`, preset ``paper``. The spatial and the volumetric models of the
  paper's Table 1 are ``latent="spatial"`` and a size of three sides.
- ``beta`` multiplies ``β(t)``; 1 is the paper's. ``free_bits`` counts as in `uad_models.methods.vae`.
- In ``eval()`` mode ``Σ = β(t) = 1`` (equation 1), so that validations can be compared.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import ReconstructionLoss, brain_mean, magnitude
from uad_models.methods.vae import VAE, VAEConfig

CYCLE = 50  # T, in steps
WINDOW = 10  # L, in steps


@dataclass(frozen=True)
class CollapseRobustVAEConfig(VAEConfig):
    """Settings of `CollapseRobustVAE`: those of `VAEConfig` with the paper's ℓ1 and without a scale.

    Parameters
    ----------
    reconstruction_loss, predict_scale
        See `VAEConfig`; the error is divided by its own moving mean, so that no scale is predicted or fixed.
    """

    reconstruction_loss: ReconstructionLoss = "l1"
    predict_scale: bool = False

    def check(self) -> None:
        """Refuse what `VAEConfig` refuses, and a scale that the objective would drop."""
        super().check()
        if self.predict_scale or self.fixed_scale is not None:
            raise InputError("predict_scale and fixed_scale: the objective has no scale, expected false and None")


class CollapseRobustVAE(VAE):
    """Variational autoencoder trained by Lambert's equation 2.

    Parameters
    ----------
    config
        See `CollapseRobustVAEConfig`.
    """

    name = "collapse_robust_vae"
    Config = CollapseRobustVAEConfig
    config: CollapseRobustVAEConfig
    steps_done: Tensor
    last_errors: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        # With 8 numbers, as `vae` has here, its units carry so much noise that it shows little but a mean brain.
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 64},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={"channels": (32, 64, 128, 256), "latent_dim": 128, "residual": "signed"},
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: CollapseRobustVAEConfig) -> None:
        super().__init__(config)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))
        self.register_buffer("last_errors", torch.zeros(WINDOW))

    def objective(self, difference: Tensor, scale: Tensor | None, divergence: Tensor, brain: Tensor) -> Tensor:
        """Return equation 2 and go one step further in its cycle; in eval mode equation 1. See `VAE.objective`."""
        error = brain_mean(magnitude(difference, self.config.reconstruction_loss), brain)
        if not self.training:
            return error + self.config.beta * divergence.mean()
        step = int(self.steps_done)
        self.last_errors[step % WINDOW] = error.detach()
        self.steps_done += 1
        typical = self.last_errors[: step + 1].mean().clamp(min=1e-8)
        return error / typical + self.config.beta * min(2 * (step % CYCLE) / CYCLE, 1.0) * divergence.mean()
