"""ceVAE: a variational autoencoder that also learns to fill in masked parts of the brain.

Paper: Zimmerer, Kohl, Petersen, Isensee, Maier-Hein, "Context-encoding variational autoencoder for unsupervised
anomaly detection", 2018 (https://arxiv.org/abs/1812.05941): ``L = L_KL + L_rec,VAE + L_rec,CE``, where the last is the
reconstruction error of the whole image from the mean code of a masked one, without sampling. The image's score is the
negative bound; the voxel's is its reconstruction error times the derivative of the bound with respect to it.

Loss and reductions are those of `uad_models.methods.cvae`, scores those of `uad_models.methods.vae_kl`.

Deviations and choices
----------------------
- Masks are those of `uad_data.corruptions.context_mask`.
- The negative bound is an average over codes with fixed noise (`uad_models.scores.sample_scores`), its derivative is
  taken at the mean code and smoothed (`uad_models.scores.kl_gradient`).
- The network of the quick preset is that of `vae`, with its predicted scale. Preset ``paper`` has the paper's four
  layers of 16, 64, 256 and 1024 channels, its 1024 latent variables, Adam's 2e-4 and batches of 64; the paper trains 60
  epochs, here it is 30000 steps.
- The paper's text was not at hand: the settings of preset ``paper`` are from memory and should be checked against it.
"""

from dataclasses import dataclass
from typing import ClassVar

from uad_models.method import Preset
from uad_models.methods.cvae import CVAE, CVAEConfig
from uad_models.methods.dae import Corruption
from uad_models.methods.vae_kl import VAEKL, VAEKLConfig, VoxelScore
from uad_models.scores.sample_scores import SampleScore


@dataclass(frozen=True)
class CEVAEConfig(VAEKLConfig, CVAEConfig):
    """Settings of `CEVAE`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEKLConfig` and `CVAEConfig`.
    """

    corruption: Corruption = "context_mask"
    voxel_score: VoxelScore = "elbo_product"
    sample_score: SampleScore = "elbo"


class CEVAE(VAEKL, CVAE):
    """Context-encoding variational autoencoder: the loss of `CVAE`, the scores of `VAEKL`.

    Parameters
    ----------
    config
        See `CEVAEConfig`.
    """

    name = "cevae"
    Config: ClassVar[type[CEVAEConfig]] = CEVAEConfig
    config: CEVAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (16, 64, 256, 1024),
                "latent_dim": 1024,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "l1",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 2e-4, "validate_every": 500},
        ),
    }
