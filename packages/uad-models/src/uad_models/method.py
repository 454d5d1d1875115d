"""The contract of a method: its config, its loss, its reconstruction, its anomaly map and its score.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` for slices, ``(d, h, w)`` for volumes.
"""

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from uad_data.errors import InputError

if TYPE_CHECKING:
    from uad_models.train_config import TrainConfig


@dataclass(frozen=True)
class Preset:
    """Settings under one name: the method's own and the trainer's.

    Parameters
    ----------
    config
        Values for fields of the method's ``Config``; ``in_channels`` and ``size`` come from the data.
    train
        Values for fields of ``TrainConfig``.
    """

    config: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodConfig:
    """What every method is told: how many sequences and which image size.

    A subclass adds its own fields. Every field is checked against its annotation when the config is made.

    Parameters
    ----------
    in_channels
        Sequences per image, at least 1.
    size
        ``(h, w)`` for slices or ``(d, h, w)`` for volumes, in voxels; each a multiple of ``size_multiple``.

    Raises
    ------
    InputError
        A value of the wrong type, not among the choices, or a size that the network cannot take.
    """

    in_channels: int = 1
    size: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in dataclasses.fields(self):
            check_field(each.name, getattr(self, each.name), hints[each.name])
        if self.in_channels < 1:
            raise InputError(f"in_channels: expected at least 1, got {self.in_channels}")
        if len(self.size) not in (2, 3) or min(self.size) < 1:
            raise InputError(f"size: expected (h, w) or (d, h, w), all positive, got {self.size}")
        self.check()
        _check_size(self.size, self.size_multiples)

    @property
    def size_multiple(self) -> int:
        """What every side of ``size`` must be a multiple of."""
        return 1

    @property
    def size_multiples(self) -> tuple[int, ...]:
        """What each side of ``size`` must be a multiple of: `size_multiple`, unless a subclass tells them apart."""
        return (self.size_multiple,) * len(self.size)

    def check(self) -> None:
        """Refuse values that have the right type and no meaning; a subclass with such fields overrides it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values (tuples become lists)."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a config from plain values.

        Parameters
        ----------
        values
            Field name to value; lists become tuples. Fields not named keep their defaults.

        Returns
        -------
        MethodConfig
            Checked and frozen.

        Raises
        ------
        InputError
            An unknown name (the message gives the nearest ones) or a value that is not valid.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(unknown_name("parameter", name, known))
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)


class Method(nn.Module):
    """A method of unsupervised anomaly detection: learns healthy brains, then marks what does not fit.

    A subclass lives in one file of ``uad_models.methods``, sets ``name``, ``Config`` and ``presets``, and gives
    `loss`, `reconstruct` and `anomaly_map`, and `calibrate` where something is fitted after training. Weights are
    drawn from torch's global random state when it is made; everything random in training is drawn from the generator
    passed to `loss`. In ``eval()`` mode nothing is random.

    Parameters
    ----------
    config
        An instance of the subclass's ``Config``.

    Attributes
    ----------
    name
        What the registry and the command line call it.
    trained
        False for a method with nothing to learn.
    stages
        Names of its training stages, in order.
    presets
        Preset name to settings; there is always ``"quick"``.
    any_size
        True for a method that takes images of other sizes than its config's, and so can be trained on patches.
    extracted
        The stages that train on what `extract` makes of images, once, in the place of the images.
    shared
        Functions, of images or of what another of them gave, whose results map, score and reconstruction have in
        common: prediction computes each once per batch (`uad_models.shared`). What they are given they leave as it is.
    labelled
        True for what learns from labels of lesions (`uad_models.labelled`); its `loss` gets them as ``"lesion"``.
    finds_lesions
        True where the first channel that ``network`` gives is the logit of a lesion, up to buffers ``slope`` and
        ``offset``: fine-tuning then keeps it.
    """

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    trained: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("fit",)
    extracted: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[tuple[str, ...]] = ("reconstruct", "anomaly_map")
    presets: ClassVar[dict[str, Preset]] = {"quick": Preset()}
    any_size: ClassVar[bool] = False
    labelled: ClassVar[bool] = False
    finds_lesions: ClassVar[bool] = False

    def __init__(self, config: MethodConfig) -> None:
        super().__init__()
        if not isinstance(config, self.Config):
            raise TypeError(f"{type(self).__name__} needs a {self.Config.__name__}, got {type(config).__name__}")
        self.config = config

    @property
    def covariates(self) -> tuple[str, ...]:
        """Return what the method is told about an image beside the image itself; by default nothing.

        Returns
        -------
        tuple of str
            Names of `uad_models.feeding.COVARIATES`: ``"height"``, ``(b,)`` float32 in [0, 1], how high a slice lies in
            its scan, NaN for volumes. A batch holds them by name. `reconstruct`, `anomaly_map` and `anomaly_score` of
            such a method take them as keywords of the same name, which can be left out.
        """
        return ()

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the training loss of a batch.

        Parameters
        ----------
        batch
            ``"image"`` ``(b, c, *s)`` float, 0 outside the brain; ``"brain"`` ``(b, 1, *s)`` bool; `covariates`.
        stage
            One of ``stages``.
        group
            One of the names of ``parameter_groups(stage)``: whose loss this is.
        generator
            Source of every random number drawn, on the batch's device; None means torch's global one.

        Returns
        -------
        dict
            ``"loss"``, a scalar to minimise, and any other scalars worth logging.
        """
        raise NotImplementedError(f"{self.name} has no loss")

    def origin(self, stage: str) -> tuple["Method", str, int]:
        """Return whose stage it is, of methods made of others: what is random in it is as if that one were alone.

        Parameters
        ----------
        stage
            One of ``stages``.

        Returns
        -------
        method : Method
            This one, or a method in it.
        stage : str
            The stage's name there.
        turn : int
            What is added to the seed: how often the same method came before.
        """
        return self, stage, 0

    def train_config(self, stage: str, train: "TrainConfig") -> "TrainConfig":
        """Return how a stage is trained, of methods made of others: each may have settings of its own.

        Parameters
        ----------
        stage
            One of ``stages``.
        train
            Of the whole training.

        Returns
        -------
        TrainConfig
            Of the stage.
        """
        return train

    def extract(self, batch: dict[str, Tensor], *, stage: str) -> dict[str, Tensor]:
        """Return what a stage named in ``extracted`` needs of a batch, and that its training does not change.

        Parameters
        ----------
        batch
            As `loss`.
        stage
            One of ``extracted``.

        Returns
        -------
        dict
            Tensors with one entry per image, ``(b, ...)``, without gradient; `loss` takes it as a batch.
        """
        raise NotImplementedError(f"{self.name} extracts nothing")

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return the parameters that a stage trains, by group; each group has its own optimiser and loss.

        Parameters
        ----------
        stage
            One of ``stages``.

        Returns
        -------
        dict
            Group name to parameters, in the order in which they are stepped; by default one group, ``"all"``.
        """
        return {"all": list(self.parameters())}

    def learning_rate_factor(self, name: str) -> float:
        """Return what the learning rate of a parameter is multiplied by.

        Parameters
        ----------
        name
            One of the names of ``named_parameters()``.

        Returns
        -------
        float
            By default 1 for all.
        """
        return 1.0

    def calibrate(self, batches: Callable[[], Iterable[dict[str, Tensor]]], *, generator: torch.Generator) -> None:
        """Fit what is fitted once training is over: thresholds and scales, kept in buffers. By default nothing.

        Parameters
        ----------
        batches
            Gives the healthy validation images, in the same order each time it is called: dicts as `loss` takes.
            They are neither shuffled nor augmented.
        generator
            Source of every random number drawn, on the batches' device.
        """

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the healthy image nearest to ``x`` that the method can express.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b, c, *s)``, 0 outside the brain.
        """
        raise NotImplementedError(f"{self.name} has no reconstruction")

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return how anomalous each voxel is; higher is more so.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b, 1, *s)`` float32, 0 outside the brain and where nothing is anomalous.
        """
        raise NotImplementedError(f"{self.name} has no anomaly map")

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return how anomalous each image is: the ℓ2 distance to its reconstruction over the brain.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b,)`` float32; higher is more anomalous.
        """
        return distance(x, self.reconstruct(x))


def distance(x: Tensor, other: Tensor) -> Tensor:
    """Return the ℓ2 distance between images.

    Parameters
    ----------
    x, other
        ``(b, c, *s)``.

    Returns
    -------
    Tensor
        ``(b,)`` float32.
    """
    return (x - other).float().flatten(1).norm(dim=1)


def brain_of(x: Tensor) -> Tensor:
    """Return the brain of prepared images: where any channel is not 0.

    Parameters
    ----------
    x
        ``(b, c, *s)``, 0 outside the brain.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` bool.
    """
    return (x != 0).any(dim=1, keepdim=True)


def some_voxels(brain: Tensor, generator: torch.Generator, most: int = 200_000) -> tuple[Tensor, ...]:
    """Return the places of brain voxels of a batch, at random where there are more than are asked for.

    Parameters
    ----------
    brain
        ``(b, 1, *s)`` bool.
    generator
        Source of the choice, on its device.
    most
        Voxels that are enough.

    Returns
    -------
    tuple of Tensor
        An index into tensors of the brain's shape.
    """
    places = brain.nonzero()
    if len(places) > most:
        places = places[torch.randperm(len(places), generator=generator, device=places.device)[:most]]
    return places.unbind(1)


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """Return the message for a name that does not exist, with the nearest that do.

    Parameters
    ----------
    kind
        What is named, in the singular: ``"method"``, ``"parameter"``, ``"preset"``.
    name, known
        What was asked for, and all there is.

    Returns
    -------
    str
        One line.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {kind} '{name}': {hint}known: {', '.join(sorted(known))}"


def check_field(name: str, value: Any, hint: Any) -> None:
    """Refuse a config's value that does not match its annotation.

    Parameters
    ----------
    name, value
        The field's.
    hint
        The annotation: int, float, bool, str, a Literal, a homogeneous tuple, or a union of these with None. An int
        serves as a float; a bool never as a number.

    Raises
    ------
    InputError
        Naming the field, what was expected and what was found.
    """
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise InputError(f"{name}: {unknown_name('value', str(value), [str(v) for v in get_args(hint)])}")
    elif not _matches(value, hint):
        expected = hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint)
        raise InputError(f"{name}: expected {expected}, got {value!r}")


def _matches(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; an int serves as a float, a bool never as a number."""
    if get_origin(hint) is types.UnionType:
        return any(_matches(value, each) for each in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_matches(v, get_args(hint)[0]) for v in value)
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def _check_size(size: tuple[int, ...], multiples: tuple[int, ...]) -> None:
    """Refuse a size that the network would not give back, and name the nearest ones that it would."""
    if any(side % multiple for side, multiple in zip(size, multiples, strict=True)):
        below = tuple(max(side // each, 1) * each for side, each in zip(size, multiples, strict=True))
        above = tuple(-(-side // each) * each for side, each in zip(size, multiples, strict=True))
        near = " or ".join(str(s) for s in sorted({below, above}))
        same = str(multiples[0]) if len(set(multiples)) == 1 else f"that of {multiples}"
        raise InputError(f"size {size}: every side must be a multiple of {same}; the nearest valid: {near}")
