"""Ensemble: several methods, or one method several times, whose maps are averaged on a scale that healthy brains set.

Papers: Lakshminarayanan, Pritzel, Blundell, "Simple and scalable predictive uncertainty estimation using deep
ensembles", NeurIPS 2017 (https://arxiv.org/abs/1612.01474): members differ in their first weights and in the order of
what they see. Each is trained as it would be alone, with the ensemble's seed, or the next ones where a method stands
several times.

Deviations: members of different methods have maps of different units, so each map is divided by what it reaches in the
highest hundredth of the voxels of healthy validation brains. No lesion is needed for that. A map that is a probability
already (`Method.finds_lesions`) is divided by one half, so that trainings on other people stay comparable.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from uad_data.corruptions.lesions.lesion_mix import KINDS
from uad_data.errors import InputError
from uad_models.lesion_config import LesionConfig
from uad_models.method import Method, MethodConfig, Preset, brain_of, some_voxels, unknown_name
from uad_models.methods.synthetic_unet import SyntheticUNet
from uad_models.overrides import parse_overrides
from uad_models.shared import computing_once
from uad_models.train_config import TrainConfig

_TOP = 0.01
_EVEN = 0.5  # probability
_OF_ALL = ("minutes", "batch_size", "precision", "accelerator", "devices", "patch")  # what one training has for all


@dataclass(frozen=True)
class EnsembleConfig(MethodConfig):
    """Settings of `Ensemble`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; what every member takes.
    modalities
        The sequence of each channel, for members that ask for it; follows from the images.
    members
        At least two methods by name, with settings, also of its training, where they differ from the member's preset:
        ``"ae:residual=signed;steps=800"``; a list within has plus signs. One name may stand several times.
    member_preset
        The preset that every member starts from.
    """

    modalities: tuple[str, ...] = ("flair",)
    members: tuple[str, ...] = ("synthetic_unet", "synthetic_unet", "synthetic_unet")
    member_preset: str = "quick"

    @property
    def held_out(self) -> tuple[str, ...]:
        """Kinds of made-up lesions that no member is trained on."""
        own = [_member(self, member)[1] for member in self.members]
        trained = {kind for config in own if isinstance(config, LesionConfig) for kind in config.trained_mix().weights}
        return tuple(kind for kind in KINDS if kind not in trained)

    def check(self) -> None:
        """Refuse members that do not exist, that cannot take the images, or that learn nothing."""
        if len(self.members) < 2:
            raise InputError(f"members: expected at least two methods, got {self.members}")
        for member in self.members:
            _member(self, member)


class Ensemble(Method):
    """Several trained methods as one; every stage of every member is a stage.

    Parameters
    ----------
    config
        See `EnsembleConfig`.
    """

    name = "ensemble"
    Config = EnsembleConfig
    config: EnsembleConfig
    stages: tuple[str, ...]  # type: ignore[misc]
    extracted: tuple[str, ...]  # type: ignore[misc]
    scale: Tensor
    score_scale: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"members": ("synthetic_unet", "ae", "vae")}, train=dict(SyntheticUNet.presets["quick"].train)
        ),
        "full": Preset(config={"member_preset": "full"}, train=dict(SyntheticUNet.presets["full"].train)),
    }

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        each = [_member(config, member) for member in config.members]
        kinds = [(cls, own) for cls, own, _ in each]
        self.members, self._places, self._train = nn.ModuleList(), {}, {}
        seed = torch.initial_seed()
        for number, (cls, own, train) in enumerate(each, start=1):
            turn = kinds[: number - 1].count((cls, own))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + turn)
                member = cls(own)
            self.members.append(member)
            for stage in member.stages:
                name = f"{number}_{member.name}_{stage}"
                self._places[name], self._train[name] = (member, stage, turn), train
        self.stages = tuple(self._places)
        self.extracted = tuple(name for name, (member, stage, _) in self._places.items() if stage in member.extracted)
        self.register_buffer("scale", torch.ones(len(each)))
        self.register_buffer("score_scale", torch.ones(len(each)))

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of the member whose stage it is; see `Method.loss`."""
        member, own, _ = self._places[stage or self.stages[0]]
        return member.loss(batch, stage=own, group=group, generator=generator)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Return those of all members; see `Method.covariates`."""
        return tuple(dict.fromkeys(name for member in self._each() for name in member.covariates))

    def origin(self, stage: str) -> tuple[Method, str, int]:
        """Return the member whose stage it is; see `Method.origin`."""
        return self._places[stage]

    def train_config(self, stage: str, train: TrainConfig) -> TrainConfig:
        """Return the member's own settings, but for what is not as the ensemble's preset has it.

        See `Method.train_config`. What ``members`` says of a training comes first, then what the ensemble is told, then
        the member's preset.
        """
        preset, member = self.config.member_preset, self._places[stage][0]
        usual = asdict(TrainConfig.from_dict(self.presets.get(preset, self.presets["quick"]).train))
        asked = {name: value for name, value in asdict(train).items() if value != usual[name]}
        return TrainConfig.from_dict({**member.presets[preset].train, **asked, **self._train[stage]})

    def extract(self, batch: dict[str, Tensor], *, stage: str) -> dict[str, Tensor]:
        """Return what the member whose stage it is extracts; see `Method.extract`."""
        member, own, _ = self._places[stage]
        return member.extract(batch, stage=own)

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return those of the member whose stage it is; see `Method.parameter_groups`."""
        member, own, _ = self._places[stage]
        return member.parameter_groups(own)

    def calibrate(self, batches: Callable[[], Iterable[dict[str, Tensor]]], *, generator: torch.Generator) -> None:
        """Calibrate every member, then measure what its map and score reach in healthy brains."""
        for number, member in enumerate(self._each()):
            member.calibrate(batches, generator=generator)
            values, scores = [], []
            for batch in batches():
                image, told = batch["image"], _told(member, batch)
                with computing_once(member):
                    values.append(member.anomaly_map(image, **told)[some_voxels(batch["brain"], generator)])
                    scores.append(member.anomaly_score(image, **told).abs())
            found = torch.cat(values)
            top = found.topk(max(1, round(_TOP * len(found)))).values.mean().clamp(min=1e-6)
            self.scale[number] = _EVEN if member.finds_lesions else top
            self.score_scale[number] = torch.cat(scores).mean().clamp(min=1e-6)

    def reconstruct(self, x: Tensor, **told: Tensor) -> Tensor:
        """Return the mean reconstruction; see `Method.reconstruct`."""
        made = [member.reconstruct(x, **_told(member, told)) for member in self._each()]
        return torch.stack(made).mean(dim=0) * brain_of(x)

    def anomaly_map(self, x: Tensor, **told: Tensor) -> Tensor:
        """Return the mean map, in the units that calibration chose; see `Method.anomaly_map`."""
        pairs = zip(self._each(), self.scale, strict=True)
        return torch.stack([each.anomaly_map(x, **_told(each, told)) / scale for each, scale in pairs]).mean(dim=0)

    def anomaly_score(self, x: Tensor, **told: Tensor) -> Tensor:
        """Return the mean score, in units of the mean healthy score; see `Method.anomaly_score`."""
        pairs = zip(self._each(), self.score_scale, strict=True)
        return torch.stack([each.anomaly_score(x, **_told(each, told)) / scale for each, scale in pairs]).mean(dim=0)

    def _each(self) -> list[Method]:
        """Members in order, typed."""
        return [member for member in self.members if isinstance(member, Method)]


def _told(member: Method, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a member is told, of what is known of the images."""
    return {name: known[name] for name in member.covariates if name in known}


def _member(config: EnsembleConfig, member: str) -> tuple[type[Method], MethodConfig, dict[str, Any]]:
    """Return a member's class, its settings, and those of its training that differ from its preset."""
    from uad_models.registry import method_class  # the registry holds this class

    name, _, settings = member.partition(":")
    cls = method_class(name)
    if not cls.trained or cls.labelled or issubclass(cls, Ensemble):
        raise InputError(f"members: expected methods that learn without labels, other than an ensemble, got '{member}'")
    if config.member_preset not in cls.presets:
        raise InputError(unknown_name(f"preset of method '{name}'", config.member_preset, list(cls.presets)))
    flags = {"in_channels": "modalities", "size": "size", "modalities": "modalities"}
    flags |= dict.fromkeys(_OF_ALL, "the ensemble's own settings")
    pairs, preset = [pair for pair in settings.split(";") if pair], cls.presets[config.member_preset]
    given = parse_overrides(pairs, {"config": cls.Config, "train": TrainConfig}, flags=flags)
    TrainConfig.from_dict({**preset.train, **given["train"]})
    images: dict[str, Any] = {"in_channels": config.in_channels, "size": config.size}
    if "modalities" in {each.name for each in fields(cls.Config)}:
        images["modalities"] = config.modalities
    return cls, cls.Config.from_dict({**preset.config, **given["config"], **images}), given["train"]
