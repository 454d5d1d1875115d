"""A recipe: which steps, in which order, with which settings; and how arrays are made of the result."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from uad_data.errors import InputError
from uad_data.preparation.steps import STEPS, Step


@dataclass(frozen=True)
class Recipe:
    """Steps from a raw scan to a prepared one.

    Parameters
    ----------
    name : str
        Of the recipe.
    steps : tuple of Step
        In order. ``scale`` stands last, if it is there: every other step sees the scanner's intensities.
    arrays : dict
        Fields of `uad_data.arrays.ArraySpec` that belong to the recipe: image size, slices, framing.

    Raises
    ------
    InputError
        The steps are in an order that cannot work.
    """

    name: str
    steps: tuple[Step, ...]
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"recipe {self.name!r}: expected each step once, found {', '.join(sorted(twice))} twice")
        if "scale" in names[:-1]:
            raise InputError(f"recipe {self.name!r}: expected scale to be the last step, found {', '.join(names)}")

    def to_dict(self) -> dict[str, Any]:
        """Give the recipe as it stands in ``recipe.json``."""
        steps = [{"step": step.name, **_plain(dataclasses.asdict(step))} for step in self.steps]  # type: ignore[call-overload]
        return {"name": self.name, "steps": steps, "arrays": _plain(self.arrays)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a recipe of what `to_dict` gave.

        Parameters
        ----------
        values : mapping
            ``name``, ``steps`` (each with ``step`` and its settings) and, optionally, ``arrays``.

        Returns
        -------
        Recipe

        Raises
        ------
        InputError
            A key is missing, or a step or setting is unknown or out of range; the message names the nearest.
        """
        if not isinstance(values.get("steps"), list):
            raise InputError(f"recipe: expected the keys name and steps, found {', '.join(map(str, values)) or 'none'}")
        return cls(
            name=str(values.get("name", "own")),
            steps=tuple(_step(dict(one)) for one in values["steps"]),
            arrays=dict(values.get("arrays", {})),
        )

    def changed(self, *, skip: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> Self:
        """Leave out steps and change settings.

        Parameters
        ----------
        skip : sequence of str
            Names of steps.
        settings : mapping, optional
            ``"step.setting"`` to its value; a step that the recipe lacks cannot be set.

        Returns
        -------
        Recipe
            Named the same: its steps say what it is.

        Raises
        ------
        InputError
            A step is not in the recipe, or a setting is unknown or out of range.
        """
        names = [step.name for step in self.steps]
        for name in (*skip, *(key.partition(".")[0] for key in settings or {})):
            if name not in names:
                raise InputError(f"recipe {self.name!r}: expected one of its steps {', '.join(names)}, found {name!r}")
        record = self.to_dict()
        if "scale" in skip:  # what the files are not, the arrays have to be
            record["arrays"]["scaling"] = record["steps"][-1]["rule"]
        record["steps"] = [one for one in record["steps"] if one["step"] not in skip]
        for key, value in (settings or {}).items():
            step, _, setting = key.partition(".")
            for one in record["steps"]:
                if one["step"] == step:
                    one[setting] = value
        return type(self).from_dict(record)


def read_recipe(path: str | Path) -> Recipe:
    """Read a ``recipe.json``.

    Parameters
    ----------
    path : str or Path
        A file of one's own, or the one in a prepared cohort's folder.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        The file is missing, no JSON, or no recipe.
    """
    try:
        return Recipe.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected a recipe in JSON, found none that can be read ({error})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _step(values: dict[str, Any]) -> Step:
    """Make one step of its record."""
    name = values.pop("step", None)
    if name not in STEPS:
        raise InputError(f"recipe: step {name!r} is unknown{_nearest(str(name), list(STEPS))}")
    known = [one.name for one in dataclasses.fields(STEPS[name])]  # type: ignore[arg-type]
    for setting in values:
        if setting not in known:
            raise InputError(f"recipe: {name}.{setting} is unknown{_nearest(setting, known)}")
    try:
        return STEPS[name](**values)
    except TypeError as error:
        raise InputError(f"recipe: step {name}: {error}") from error


def _nearest(name: str, known: list[str]) -> str:
    """Name what may have been meant."""
    near = get_close_matches(name, known, n=1)
    return (f"; did you mean {near[0]!r}?" if near else ";") + f" known: {', '.join(known) or 'none'}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
