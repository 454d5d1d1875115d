"""VAE with pre-training: context restoration first, then a variational autoencoder from its weights.

Paper: A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU
München 2020, section 5.2 and Figure 5.2: algorithm 1, then algorithm 2; "VAE with Pretraining" of its tables. The
residual is the map, its size the score (section 6.2.1).

Two stages of one method, with one network: ``"restore"`` minimises the error of images restored from swapped ones,
``"fit"`` is the loss of `uad_models.methods.vae`. The second stage starts from the weights of the first that had the
lowest restoration error on healthy validation images, and trains all of them.

Deviations and choices
----------------------
- Algorithm 2 prints the squared error alone; the text beside it applies "a prior of Gaussian distribution with zero
  mean and unit covariance", with no weight for the divergence from it. Here it is the bound of
  `uad_models.methods.vae`, with the likeliest variance. ``beta = 0`` with ``fixed_scale = √½`` is the printed loss.
- A predicted scale is learnt in the second stage alone. Had the first learnt a small one, the first steps of the
  second's optimiser would lose all that was won.
- A stage of preset ``quick`` has half the steps of a method that is trained in one; of ``thesis``, as many.
- What `uad_models.methods.context_restoration` says of swaps, presets and intensities holds here.
- Adversarial loss and flow prior, the thesis's future work, are `uad_models.methods.aae` and
  `uad_models.methods.vae_flow`; Monte-Carlo dropout is ``mc_samples``.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_models.method import Preset
from uad_models.methods.context_restoration import THESIS, ContextRestoration, ContextRestorationConfig
from uad_models.methods.vae import VAE, VAEConfig


@dataclass(frozen=True)
class VAEPretrainedConfig(VAEConfig, ContextRestorationConfig):
    """Settings of `VAEPretrained`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEConfig` and `ContextRestorationConfig`. ``beta``, ``free_bits`` and ``fixed_scale`` belong to the
        second stage, ``swap_side`` and ``swaps`` to the first.
    """


class VAEPretrained(VAE, ContextRestoration):
    """Variational autoencoder that starts from context restoration.

    Parameters
    ----------
    config
        See `VAEPretrainedConfig`.
    """

    name = "vae_pretrained"
    Config: ClassVar[type[VAEPretrainedConfig]] = VAEPretrainedConfig
    config: VAEPretrainedConfig
    stages = ("restore", "fit")
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 250, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "thesis": Preset(
            config=THESIS,
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
        """Return the error that algorithm 1 prints, then the loss of `VAE`; see `Method.loss`."""
        if stage == "restore":
            return self.swapped_loss(batch, likelihood=False, generator=generator)
        return VAE.loss(self, batch, generator=generator)
