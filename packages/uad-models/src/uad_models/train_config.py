"""How a method is trained: a frozen dataclass, and the learning rate at each step."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_type_hints

from uad_data.errors import InputError
from uad_models.method import check_field, unknown_name


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a method is trained. Every stage of a method is trained so.

    Parameters
    ----------
    steps
        Optimiser steps per stage, at most.
    minutes
        Above 0, minutes of training in place of ``steps``: stages get equal shares, each ends with a validation, and
        the cosine falls with the clock, which stands still while a run is not running. Such a run does not give the
        same bits twice. 0 trains by steps.
    batch_size
        Images per forward pass, over all devices; a multiple of ``devices``.
    accumulate
        Forward passes per optimiser step.
    learning_rate
        Of AdamW, at its peak.
    weight_decay
        Of AdamW.
    warmup_steps
        Steps over which the learning rate rises linearly to its peak.
    schedule
        After that: ``"cosine"`` falls to 0 at the last step, ``"constant"`` stays, ``"plateau"`` falls whenever the
        loss on healthy validation images has stopped falling.
    plateau_factor
        What a plateau multiplies the learning rate by, above 0 and below 1.
    plateau_patience
        Validations without a lower loss, by a ten thousandth, that are not yet a plateau.
    gradient_clip
        Largest ℓ2 norm of a group's gradients; 0 does not clip.
    ema_decay
        Decay per step of a moving average of the weights, which is then what is validated and kept; 0 keeps none.
    validate_every
        Steps between validations on healthy images.
    validation_rows
        How many healthy validation images weights are chosen by and maps are calibrated with, evenly spread over all
        there are; 0 takes all. A method that learns from labels takes all.
    patience
        Validations without a lower loss after which a stage ends; 0 never ends it early.
    checkpoint_every
        Steps between checkpoints.
    precision
        ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"`` (GPU only).
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
    devices
        How many of them.
    augmentation
        ``"nnunet"`` augments training images by nnU-Net's recipe; ``"none"``
        does not. Validation images are never augmented.
    workers
        Processes per device that augment ahead of training; 0 does it in between. They take seconds to start and are
        not started where nothing is augmented: reading is faster without. The result is the same for any number.
    patch
        Sides of random patches to train on, ``(h, w)`` or ``(d, h, w)``, for methods that take images of any size;
        None trains on whole images.

    Raises
    ------
    InputError
        A value of the wrong type or out of range.
    """

    steps: int = 1000
    minutes: float = 0.0
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_steps: int = 50
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    gradient_clip: float = 1.0
    ema_decay: float = 0.0
    validate_every: int = 100
    validation_rows: int = 256
    patience: int = 0
    checkpoint_every: int = 100
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1
    augmentation: Literal["none", "nnunet"] = "none"
    workers: int = 0
    patch: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in dataclasses.fields(self):
            check_field(each.name, getattr(self, each.name), hints[each.name])
        for name in ("steps", "batch_size", "accumulate", "validate_every", "checkpoint_every", "devices"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        least_0 = "weight_decay", "warmup_steps", "gradient_clip", "patience", "plateau_patience", "workers"
        for name in (*least_0, "validation_rows"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("minutes", 0 <= self.minutes < math.inf, "0 for none, or a number above it")
        self._check("learning_rate", self.learning_rate > 0, "above 0")
        self._check("plateau_factor", 0 < self.plateau_factor < 1, "above 0 and below 1")
        self._check("ema_decay", 0 <= self.ema_decay < 1, "at least 0 and below 1")
        self._check("patch", self.patch is None or all(side >= 1 for side in self.patch), "sides of at least 1")
        self._check("batch_size", self.batch_size % self.devices == 0, f"a multiple of devices = {self.devices}")

    def _check(self, name: str, good: bool, expected: str) -> None:
        """Refuse a value that is out of range."""
        if not good:
            raise InputError(f"{name}: expected {expected}, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a config from plain values.

        Parameters
        ----------
        values
            Field name to value. Fields not named keep their defaults.

        Returns
        -------
        TrainConfig
            Checked and frozen.

        Raises
        ------
        InputError
            An unknown name (the message gives the nearest ones) or a value that is not valid.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(unknown_name("training parameter", name, known))
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)

    def learning_rate_at(self, step: int, *, spent: float = 0.0) -> float:
        """Return the learning rate of a step, before any plateau.

        Parameters
        ----------
        step
            From 0.
        spent
            Share of the stage's minutes that is over, at least 0 and below 1; of no effect where steps count.

        Returns
        -------
        float
            Above 0: the first step of the warm-up and the last of the cosine are not wasted.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule != "cosine":
            return self.learning_rate
        done = spent if self.minutes else (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
