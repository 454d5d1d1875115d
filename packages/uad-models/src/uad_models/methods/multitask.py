"""Multi-task: a VAE, started from context restoration, whose code also tells how its image was turned and shifted.

Paper: A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU
München 2020, sections 5.3 and 6.2.2, Figure 5.3: algorithm 3 and equations 5.2, 5.3 and 6.2 to 6.4; "Multi task model
with Pretraining" of its tables.

Training: first stage ``"restore"`` of `uad_models.methods.context_restoration`, then ``"multitask"``. Every image is
turned by 0 to 3 quarters and shifted back, not at all or forth by an eighth along each axis; the VAE rebuilds it as it
then is, and one fully connected layer tells the classes from the code before it is drawn:
``L = L_classification + ε · L_rec``. In a slice that makes 4 classes of rotation and 6 of translation.

Score of an image: ``(1 − λ) s_c + λ s_r``, higher for anomalous ones. ``s_r = α ‖x − x̂‖`` is high for an anomalous
image, equation 6.3's softmax score for a healthy one, of whose pose the head is sure ("the relationship between the
reconstruction and softmax score is inverse in nature"). Here ``s_c`` is therefore one minus the softmax score of the
right class, averaged over tasks (rotation, and translation along each axis). ``α`` makes the two vary alike over
healthy validation images: the standard deviation of ``s_c`` over that of ``‖x − x̂‖``, fitted after training. Means are
not matched, because what a constant adds does not change the order of images. The map is the residual alone (6.3.2).

Deviations and choices
----------------------
- The thesis does not say how ``α`` is found, prints no ``ε`` and takes λ = 0.5. With the bound in nats per voxel and
  cross-entropy in nats per task, both losses are of one size: ``epsilon`` is 1 unless told otherwise.
- "Before the re-parametrization trick": the head sees mean and log variance together, the thesis's 512 channels.
- ``L_rec`` is the bound of `uad_models.methods.vae`: see `uad_models.methods.vae_pretrained`.
- Which six translations: see `uad_data.corruptions.rotate_translate`. Volumes have nine and turn about d alone.
- Cross-entropy is averaged over tasks, the thesis does not say how several labels are joined.
- ``poses="turned"`` asks the head about all four quarter turns of an image and averages; the thesis asks once.
- The thesis lowers the learning rate when the loss is on a plateau and prints neither factor nor patience. Preset
  ``thesis`` does so by the loss on healthy validation images, in both stages, with torch's defaults but for a patience
  of 5 validations; ``quick`` keeps the cosine, which falls to 0 in its few steps.
- A stage of ``quick`` has 500 steps, twice `vae_pretrained`'s: what was turned and shifted is harder to rebuild.
- Quarter turns need slices as high as wide. A brain that fills its image loses some of its rim by a shift, and what is
  lost is not rebuilt either.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uad_data.corruptions import rotate_translate
from uad_data.errors import InputError
from uad_models.method import Preset, brain_of
from uad_models.methods.ae import brain_mean, deviation, magnitude
from uad_models.methods.context_restoration import THESIS, drawn
from uad_models.methods.vae import collapse_diagnostics, divergence_from_prior
from uad_models.methods.vae_pretrained import VAEPretrained, VAEPretrainedConfig
from uad_models.networks.encoder_decoder import Layer
from uad_models.networks.feature_dropout import FeatureDropout

ROTATIONS = 4
TRANSLATIONS = 3  # along one axis: back, none, forth
UNMOVED = 1  # the class of no translation


@dataclass(frozen=True)
class MultitaskConfig(VAEPretrainedConfig):
    """Settings of `Multitask`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEPretrainedConfig`; h and w alike.
    shift
        Length of a translation, as a share of each side, above 0 and below 1/2.
    epsilon
        ε: weight of the reconstruction's loss beside the classification's, above 0.
    balance
        λ: share of the reconstruction in the score, from 0 to 1.
    poses
        What the head is asked about for a score: the image as ``"given"``, or ``"turned"`` by every quarter.
    """

    shift: float = 1 / 8
    epsilon: float = 1.0
    balance: float = 0.5
    poses: Literal["given", "turned"] = "given"

    def check(self) -> None:
        """Refuse what `VAEPretrainedConfig` refuses, values out of range, and slices that cannot be turned."""
        super().check()
        if not 0 < self.shift < 0.5:
            raise InputError(f"shift: expected above 0 and below 0.5, got {self.shift}")
        if self.epsilon <= 0 or not 0 <= self.balance <= 1:
            raise InputError(
                f"epsilon and balance: expected above 0, and from 0 to 1, got {self.epsilon} and {self.balance}"
            )
        if self.size[-1] != self.size[-2]:
            step = self.size_multiple
            near = sorted({max(side // step, 1) * step for side in self.size[-2:]})
            sizes = " or ".join(str((*self.size[:-2], side, side)) for side in near)
            raise InputError(f"size {self.size}: quarter turns need h and w alike; the nearest valid: {sizes}")

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of a code: channels and, where it is spatial, its grid."""
        if self.latent == "dense":
            return (self.latent_dim,)
        size = self.size
        for layer in (*self._layers(), Layer(self.latent_dim, self.code_kernel, self.code_stride)):
            size = layer.shrink(size)
        return (self.latent_dim, *size)


class Multitask(VAEPretrained):
    """Variational autoencoder with a classifier of its image's pose.

    Parameters
    ----------
    config
        See `MultitaskConfig`.

    Attributes
    ----------
    alpha
        α, scalar; 1 until `calibrate` has fitted it.
    """

    name = "multitask"
    Config: ClassVar[type[MultitaskConfig]] = MultitaskConfig
    config: MultitaskConfig
    stages = ("restore", "multitask")
    alpha: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "thesis": Preset(
            config=THESIS,
            train={
                "steps": 30000,
                "batch_size": 64,
                "learning_rate": 1e-3,
                "validate_every": 500,
                "schedule": "plateau",
            },
        ),
    }

    def __init__(self, config: MultitaskConfig) -> None:
        super().__init__(config)
        self.tasks = (ROTATIONS, *(TRANSLATIONS for _ in config.size))
        self.head = nn.Linear(2 * torch.Size(config.code_shape).numel(), sum(self.tasks))
        self.register_buffer("alpha", torch.ones(()))

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return all parameters, without the head in stage ``"restore"``."""
        if stage == "restore":
            return {"all": list(self.network.parameters())}
        return super().parameter_groups(stage)

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "multitask",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the error that algorithm 1 prints, then equation 5.3; see this file's head and `Method.loss`.

        Also, to log in the second stage: ``"classification"``, the cross-entropy in nats per task;
        ``"rotation_accuracy"`` and ``"translation_accuracy"``, shares of right classes; and what `VAE.loss` gives.
        """
        if stage == "restore":
            return self.swapped_loss(batch, likelihood=False, generator=generator)
        moved = rotate_translate(batch["image"], batch["brain"], shift=self.config.shift, generator=generator)
        drop = self.training_dropout(generator)
        codes = mean, log_variance = self._codes(moved.image, drop)
        reconstruction, scale = self.decode(drawn(*codes, generator=generator), drop=drop)
        divergence = divergence_from_prior(mean, log_variance)
        norm = self.config.reconstruction_loss
        difference = deviation(moved.image, reconstruction, moved.brain, norm)
        rebuilt = self.objective(difference, scale, self.charged(divergence), moved.brain)
        labels = (moved.rotation, *moved.translation.unbind(1))
        logits = self._logits(codes)
        crossed = torch.stack([functional.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]).mean()
        right = [(each.argmax(dim=1) == label).float().mean() for each, label in zip(logits, labels, strict=True)]
        return {
            "loss": crossed + self.config.epsilon * rebuilt,
            "classification": crossed.detach(),
            "rotation_accuracy": right[0],
            "translation_accuracy": torch.stack(right[1:]).mean(),
            "error": brain_mean(magnitude(difference.detach(), norm), moved.brain),
            "kl": divergence.detach().sum(dim=1).mean(),
            **collapse_diagnostics(mean, divergence),
        }

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterable[dict[str, Tensor]]], *, generator: torch.Generator) -> None:
        """Fit α to healthy validation images; it stays 1 where one of the scores does not vary."""
        parts = [self.score_parts(batch["image"]) for batch in batches()]
        if not parts:
            return
        spread = torch.stack([torch.cat(each).std(correction=0) for each in zip(*parts, strict=True)])
        self.alpha.copy_(spread[0] / spread[1] if bool((spread > 0).all()) else torch.ones_like(self.alpha))

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return equation 6.2, with both terms higher for anomalous images; see `Method.anomaly_score`."""
        pose, distance = self.score_parts(x)
        return (1 - self.config.balance) * pose + self.config.balance * self.alpha * distance

    def score_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the score combines.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        pose : Tensor
            ``(b,)`` float32 from 0 to 1: one minus the softmax score of the right class, averaged over tasks and poses;
            0 for an image without brain.
        distance : Tensor
            ``(b,)`` float32: ``‖x − x̂‖`` over the brain, without α.
        """
        turns = range(ROTATIONS if self.config.poses == "turned" else 1)
        unsure = torch.stack([self._unsure(torch.rot90(x, turn, (-2, -1)), turn) for turn in turns]).mean(dim=0)
        return unsure * brain_of(x).flatten(1).any(dim=1), super().anomaly_score(x)

    def _unsure(self, x: Tensor, rotation: int) -> Tensor:
        """One minus the softmax score of a rotation and of no translation, averaged over tasks: ``(b,)``."""
        right = (rotation, *(UNMOVED for _ in self.config.size))
        pairs = zip(self._logits(self._codes(x)), right, strict=True)
        return torch.stack([1 - logits.softmax(dim=1)[:, label] for logits, label in pairs]).mean(dim=0)

    def _codes(self, x: Tensor, drop: FeatureDropout | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of each image's code, float32."""
        mean, log_variance = self.network.encode(x, drop=drop)
        return mean.float(), log_variance.float()

    def _logits(self, codes: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Logits of each task, ``(b, k)`` float32."""
        return self.head(torch.cat(codes, dim=1).flatten(1)).float().split(self.tasks, dim=1)
