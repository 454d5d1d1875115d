"""AAE: an autoencoder whose codes an opponent makes look like draws from a normal distribution.

Papers
------
Makhzani, Shlens, Jaitly, Goodfellow, Frey, "Adversarial autoencoders", 2015 (https://arxiv.org/abs/1511.05644): a
discriminator tells codes from draws of the prior, the encoder learns to deceive it.

Chen, Konukoglu, "Unsupervised detection of lesions in brain MRI using constrained adversarial auto-encoders", MIDL 2018
(https://arxiv.org/abs/1806.04972): the code of the reconstruction is also held near the code of the image,
``λ ‖z − z'‖²``, so that an image with a lesion and its healthy reconstruction lie close by.

Baur, Wiestler, Albarqouni, Navab, "Deep autoencoding models for unsupervised anomaly segmentation in brain MR images",
BrainLes 2018 (https://arxiv.org/abs/1804.04488): ``image_weight``, a second discriminator that tells reconstructions
from images.

Losses
------
Group ``"autoencoder"``: the reconstruction loss of `uad_models.methods.ae`, plus ``code_weight`` times the
non-saturating adversarial loss of the codes, plus ``constraint_weight`` times ``‖z − z'‖²`` averaged over the code,
plus ``image_weight`` times the adversarial loss of the reconstructions. Group ``"opponent"``: binary cross-entropy of
the discriminators with R₁, summed. In ``eval()`` mode both are the reconstruction loss alone, so that validations can
be compared.

Deviations and choices
----------------------
- The networks are those of `ae`, with the predicted scale in the quick preset; the discriminator of codes has two
  hidden layers of 64. The weights are chosen here: the papers' losses are sums, these are means.
- Both groups are stepped once per batch, at the same rate.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import AE, AEConfig, brain_mean, deviation, magnitude, negative_log_likelihood
from uad_models.networks.discriminator import CodeDiscriminator, PatchDiscriminator, pass_for_real, tell_apart


@dataclass(frozen=True)
class AAEConfig(AEConfig):
    """Settings of `AAE`.

    Parameters
    ----------
    in_channels, size, ...
        See `AEConfig`; ``latent`` must be ``"dense"``.
    code_weight
        Of the adversarial loss of the codes, above 0.
    constraint_weight
        Of the distance between the codes of image and reconstruction, at least 0; 0 is the plain adversarial
        autoencoder.
    image_weight
        Of the adversarial loss of the reconstructions, at least 0; 0 is without a second opponent.
    """

    code_weight: float = 0.05
    constraint_weight: float = 0.1
    image_weight: float = 0.0

    def check(self) -> None:
        """Refuse what `AEConfig` refuses, codes that are no vectors, and weights without meaning."""
        super().check()
        if self.latent != "dense":
            raise InputError(f'latent: expected "dense" for aae, whose prior is over vectors, got "{self.latent}"')
        if self.code_weight <= 0 or self.constraint_weight < 0 or self.image_weight < 0:
            raise InputError(
                "code_weight, constraint_weight, image_weight: expected above 0, at least 0 and at least 0, got "
                f"{self.code_weight}, {self.constraint_weight}, {self.image_weight}"
            )


class AAE(AE):
    """Adversarial autoencoder, constrained; with its weights at will also with an adversarial reconstruction loss.

    Parameters
    ----------
    config
        See `AAEConfig`.
    """

    name = "aae"
    Config = AAEConfig
    config: AAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (16, 32, 64, 128),
                "latent_dim": 128,
                "predict_scale": False,
                "constraint_weight": 0.5,
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-4, "validate_every": 500},
        ),
    }

    def __init__(self, config: AAEConfig) -> None:
        super().__init__(config)
        self.opponents = nn.ModuleDict({"code": CodeDiscriminator(config.latent_dim)})
        if config.image_weight:
            dims = len(config.size)
            self.opponents["image"] = PatchDiscriminator(
                dims=dims, in_channels=config.in_channels, channels=config.channels
            )

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return the opponents' and the autoencoder's parameters; see `Method.parameter_groups`."""
        return {"opponent": list(self.opponents.parameters()), "autoencoder": list(self.network.parameters())}

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "autoencoder",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of a group, see this file's head and `Method.loss`.

        Also, to log: ``"error"``, the mean per brain voxel of what ``reconstruction_loss`` names, and the autoencoder's
        ``"deceived"`` (adversarial) and ``"constraint"`` terms.
        """
        if not self.training:
            return super().loss(batch, stage=stage, group=group, generator=generator)
        if group == "opponent":
            return {"loss": self._opponent_loss(batch, generator)}
        return self._autoencoder_loss(batch, generator)

    def _opponent_loss(self, batch: dict[str, Tensor], generator: torch.Generator | None) -> Tensor:
        """Binary cross-entropy of each opponent, summed."""
        with torch.no_grad():
            code, reconstruction, _ = self._pass(batch, generator)
        drawn = torch.randn(code.shape, generator=generator, device=code.device)
        loss = tell_apart(self.opponents["code"], drawn, code)
        if "image" in self.opponents:
            loss = loss + tell_apart(self.opponents["image"], batch["image"], reconstruction)
        return loss

    def _autoencoder_loss(self, batch: dict[str, Tensor], generator: torch.Generator | None) -> dict[str, Tensor]:
        """Reconstruction, adversarial terms and constraint."""
        image, brain, config = batch["image"], batch["brain"], self.config
        code, reconstruction, scale = self._pass(batch, generator)
        difference = deviation(image, reconstruction, brain, config.reconstruction_loss)
        error = brain_mean(magnitude(difference, config.reconstruction_loss), brain)
        if scale is None:
            unlikely = error
        else:
            unlikely = brain_mean(negative_log_likelihood(difference, scale, config.reconstruction_loss), brain)
        deceived = config.code_weight * pass_for_real(self.opponents["code"], code)
        if "image" in self.opponents:
            deceived = deceived + config.image_weight * pass_for_real(self.opponents["image"], reconstruction)
        constraint = (self.network.encode(reconstruction)[0].float() - code).square().mean()
        return {
            "loss": unlikely + deceived + config.constraint_weight * constraint,
            "error": error.detach(),
            "deceived": deceived.detach(),
            "constraint": constraint.detach(),
        }

    def _pass(
        self, batch: dict[str, Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Code, reconstruction cut to the brain, and scale of a batch."""
        drop = self.training_dropout(generator)
        (code,) = self.network.encode(batch["image"], drop=drop)
        reconstruction, scale = self.decode(code, drop=drop)
        return code.float(), reconstruction * batch["brain"], scale
