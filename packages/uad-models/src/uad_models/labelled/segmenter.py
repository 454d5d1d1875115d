"""Segmenter: the network of an anomaly detection method, trained on labelled lesions.

Papers: Holzschuh et al., "Combining anomaly detection and supervised learning for medical image segmentation", MIDL
2023: a denoising U-Net is fine-tuned with soft Dice and cross-entropy on a few labelled scans, for one class (lesion)
and for several; the model with the lowest validation loss is kept. Isensee et al., "nnU-Net", Nature Methods 2021
(https://doi.org/10.1038/s41592-020-01008-z): loss, augmentation, deep supervision where the network has coarse outputs.
Howard, Ruder, "Universal language model fine-tuning for text classification", 2018 (https://arxiv.org/abs/1801.06146),
section 3.2: a learning rate for each layer.

Deviations: the paper names neither optimiser nor schedule; here they are the trainer's, AdamW with a cosine. A new head
begins by expecting background (Lin et al., "Focal loss", 2017, 4.1). The head of a base that finds lesions already
(`Method.finds_lesions`) is not replaced but kept, see `uad_models.labelled.carry_over`. A lesion outside the brain mask
is not seen.

Axes: ``b`` batch, ``c`` channels, ``k`` background and classes, ``*s`` space.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, brain_of
from uad_models.networks.folding import folded, unfolded
from uad_models.networks.residual_unet import ResidualUNet
from uad_models.networks.unet import UNet
from uad_models.overrides import parse_overrides

_FIRST_LOGIT = 3.0  # of the background
_HEAD, _ENCODER = ("last", "coarse"), ("stem", "down")
_FLAGS = {"in_channels": "modalities", "size": "size", "modalities": "modalities"}


@dataclass(frozen=True)
class SegmenterConfig(MethodConfig):
    """Settings of `Segmenter`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; what the base can take.
    modalities
        The sequence of each channel, for bases that ask for it; follows from the images.
    base
        The registered method whose network it is.
    network
        Settings of that method, as ``"key=value"``, where they differ from its defaults.
    classes
        Empty: one class, ``lesion``, whatever its label value. Otherwise ``"name=value"`` each, such as BraTS's
        ``"non_enhancing_core=1"``, ``"oedema=2"``, ``"enhancing=4"``.
    encoder
        ``"frozen"`` keeps the weights of the encoder as they begin.
    rate_decay
        What the learning rate is multiplied by from each layer to the next one away from the head, in (0, 1].
    """

    modalities: tuple[str, ...] = ("flair",)
    base: str = "denoising_unet"
    network: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    encoder: Literal["trained", "frozen"] = "trained"
    rate_decay: float = 1.0

    @property
    def size_multiples(self) -> tuple[int, ...]:
        """Those of the base."""
        return self.base_config[1].size_multiples

    @property
    def base_config(self) -> tuple[type[Method], MethodConfig]:
        """The base's class and its settings."""
        from uad_models.registry import method_class  # the registry holds this class

        cls = method_class(self.base)
        if cls.labelled:
            raise InputError(f"base: expected a method that learns without labels, got '{self.base}'")
        given = parse_overrides(self.network, {"network": cls.Config}, flags=_FLAGS)["network"]
        images: dict[str, Any] = {"in_channels": self.in_channels, "size": self.size}
        if "modalities" in {each.name for each in fields(cls.Config)}:
            images["modalities"] = self.modalities
        return cls, cls.Config.from_dict({**given, **images})

    @property
    def class_values(self) -> dict[str, int]:
        """Label value of each named class, in order; empty where every label is one class."""
        return {name: int(value) for name, _, value in (each.partition("=") for each in self.classes)}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes without the background, at least one."""
        return tuple(self.class_values) or ("lesion",)

    def check(self) -> None:
        """Refuse classes without a value of their own and a rate decay out of range."""
        parts = [each.partition("=") for each in self.classes]
        if any(not name or not value.isdecimal() or not 0 < int(value) < 256 for name, _, value in parts):
            raise InputError(f"classes: expected 'name=value' with values from 1 to 255, got {self.classes}")
        if min(len(set(self.class_values)), len(set(self.class_values.values()))) < len(parts):
            raise InputError(f"classes: expected each name and each value once, got {self.classes}")
        if not 0 < self.rate_decay <= 1:
            raise InputError(f"rate_decay: expected above 0 and at most 1, got {self.rate_decay}")


class Segmenter(Method):
    """Network of another method, fine-tuned on labelled lesions, or trained on them from the start.

    Parameters
    ----------
    config
        See `SegmenterConfig`.

    Raises
    ------
    InputError
        The base's network is none that gives an image of the same size through an encoder and a decoder.
    """

    name = "finetune"
    Config = SegmenterConfig
    config: SegmenterConfig
    labelled = True
    any_size = True
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            train={
                "steps": 250,
                "batch_size": 16,
                "learning_rate": 1e-3,
                "validate_every": 25,
                "augmentation": "nnunet",
            }
        ),
        "full": Preset(
            train={
                "steps": 10000,
                "batch_size": 16,
                "learning_rate": 3e-4,
                "weight_decay": 1e-5,
                "validate_every": 250,
                "augmentation": "nnunet",
            }
        ),
    }

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        cls, base_config = config.base_config
        network: Any = getattr(cls(base_config), "network", None)
        # Not isinstance: a subclass may ask for more than an image.
        if type(network) not in (UNet, ResidualUNet) or getattr(base_config, "slab", None):
            raise InputError(
                f"method '{config.base}' cannot be fine-tuned here: expected one whose network maps an image to an "
                "image of the same size and dimension (UNet or ResidualUNet), such as denoising_unet or synthetic_unet"
            )
        self.network: UNet | ResidualUNet = network
        self.fold: int = getattr(base_config, "fold", 1)
        self._new_head(1 + len(config.class_names))
        if config.encoder == "frozen":
            for name, parameter in self.named_parameters():
                parameter.requires_grad_(not self.is_encoder(name))

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return soft Dice and cross-entropy; see `Method.loss`.

        Dice is the mean over classes, each over the voxels of the batch together; cross-entropy is the mean over the
        brain. Each is the mean over resolutions, every next one counting half as much.

        Parameters
        ----------
        batch
            Also ``"lesion"`` ``(b, 1, *s)`` uint8, the labels.
        """
        truth = self._shares(batch["lesion"], batch["brain"])
        outputs = self._logits(batch["image"])
        losses: dict[str, Tensor] = {}
        for depth, logits in enumerate(outputs):
            share = 0.5**depth / (2 - 0.5 ** (len(outputs) - 1))
            for name, value in _errors(logits.float(), _shrunk(truth, logits)).items():
                losses[name] = losses.get(name, 0.0) + share * value
        return {"loss": losses["cross_entropy"] + losses["dice"], **losses}

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the probability of a lesion of any class; see `Method.anomaly_map`."""
        return (1 - self.probabilities(x)[:, :1]) * brain_of(x)

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the volume of lesion to expect, in voxels; see `Method.anomaly_score`."""
        return self.anomaly_map(x).flatten(1).sum(dim=1)

    def class_map(self, x: Tensor) -> Tensor:
        """Return the likeliest class of each voxel.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b, *s)`` uint8: 0 background and outside the brain, ``i`` for the ``i``-th of ``config.class_names``.
        """
        return (self.probabilities(x).argmax(dim=1) * brain_of(x)[:, 0]).to(torch.uint8)

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of the background and of each class, also outside the brain.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b, k, *s)`` float32, sums to 1 over ``k``: background, then ``config.class_names``.
        """
        return self._logits(x)[0].float().softmax(dim=1)

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return what is not frozen; see `Method.parameter_groups`."""
        return {"all": [each for each in self.parameters() if each.requires_grad]}

    def learning_rate_factor(self, name: str) -> float:
        """Return the rate decay to the power of the layers between a parameter and the head."""
        _, part, *rest = name.split(".")
        if part in _HEAD:
            return 1.0
        up, down = len(self.network.up), len(self.network.down)
        place = int(rest[0]) if part in ("up", "raise_", "down") else 0
        away = up - place if part in ("up", "raise_") else up + down - place
        return self.config.rate_decay**away

    @staticmethod
    def is_head(name: str) -> bool:
        """Whether a parameter, by its name, is of the head."""
        return name.startswith(tuple(f"network.{part}." for part in _HEAD))

    @staticmethod
    def is_encoder(name: str) -> bool:
        """Whether a parameter, by its name, is of the encoder."""
        return name.startswith(tuple(f"network.{part}." for part in _ENCODER))

    def _new_head(self, outputs: int) -> None:
        """Put layers of so many channels in place of those that gave the image."""
        cell = self.fold ** len(self.config.size)
        self.network.last = _like(self.network.last, outputs, cell)
        if isinstance(self.network, ResidualUNet):
            self.network.coarse = nn.ModuleList(_like(head, outputs, 1) for head in self.network.coarse)

    def _logits(self, x: Tensor) -> list[Tensor]:
        """Logits ``(b, k, *s)``, and while training the coarser ones that the network has."""
        if isinstance(self.network, ResidualUNet):  # folds by itself
            return self.network(x)
        return [unfolded(self.network(folded(x, self.fold)), self.fold)]

    def _shares(self, lesion: Tensor, brain: Tensor) -> Tensor:
        """Labels ``(b, 1, *s)`` as one channel each ``(b, k, *s)``, all 0 outside the brain."""
        values = self.config.class_values.values()
        classes = torch.cat([lesion == value for value in values] if values else [lesion > 0], dim=1)
        return torch.cat([~classes.any(dim=1, keepdim=True), classes], dim=1) * brain.float()


def _like(head: Any, outputs: int, cell: int) -> Any:
    """Make a pointwise layer beside another, for ``outputs`` channels of ``cell`` voxels, that expects background."""
    layer = type(head)(head.in_channels, outputs * cell, 1)
    with torch.no_grad():
        layer.bias.zero_()
        layer.bias[:cell] = _FIRST_LOGIT
    return layer


def _shrunk(truth: Tensor, logits: Tensor) -> Tensor:
    """Share of each class in each voxel of a coarser grid."""
    size = logits.shape[2:]
    return truth if truth.shape[2:] == size else functional.interpolate(truth, size=list(size), mode="area")


def _errors(logits: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Cross-entropy, a mean over the brain, and one minus soft Dice, a mean over classes; both ``(b, k, *s)``."""
    inside = truth.sum(dim=1, keepdim=True)
    crossed = -(truth * logits.log_softmax(dim=1)).sum() / inside.sum().clamp(min=1)
    found = (logits.softmax(dim=1) * inside)[:, 1:]
    wanted = truth[:, 1:]
    axes = (0, *range(2, logits.ndim))
    dice = (2 * (found * wanted).sum(axes) + 1) / (found.sum(axes) + wanted.sum(axes) + 1)
    return {"cross_entropy": crossed, "dice": 1 - dice.mean()}
