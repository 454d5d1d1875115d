"""A pipeline: named steps from an anomaly map to a mask, with exactly one threshold among them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Self

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps import STEPS, FittedThreshold, FixedThreshold, LabelFitted, Step, Threshold

# Items go through the steps in groups of about this many voxels, so that memory-mapped maps of any number can.
_GROUP_VOXELS = 1 << 22


@dataclass(frozen=True)
class Pipeline:
    """Steps that turn maps into masks: map steps, one threshold, mask steps.

    Pipelines are values: fitting or setting a threshold returns another pipeline. Fit on validation data only.

    Parameters
    ----------
    name : str
        What it is called in tables.
    steps : sequence of Step
        In the order in which they are applied.
    description : str
        One line for people who choose among pipelines.

    Raises
    ------
    InputError
        When there is not exactly one threshold, or a step stands on the wrong side of it.
    """

    name: str
    steps: Sequence[Step]
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        places = [place for place, step in enumerate(self.steps) if isinstance(step, Threshold)]
        if len(places) != 1:
            raise InputError(f"pipeline {self.name!r}: expected exactly one threshold step, found {len(places)}")
        for place, step in enumerate(self.steps):
            side = "map" if place <= places[0] else "mask"
            if side not in step.takes:
                where = "before" if side == "map" else "after"
                raise InputError(
                    f"pipeline {self.name!r}: {type(step).__name__} stands {where} the threshold, where steps work on "
                    f"a {side}; move it to the other side"
                )

    @property
    def threshold(self) -> Threshold:
        """The threshold step."""
        return next(step for step in self.steps if isinstance(step, Threshold))

    @property
    def needs_labels(self) -> bool:
        """Whether the fit needs lesion labels."""
        return self.threshold.needs_labels

    @property
    def needs_fit(self) -> bool:
        """Whether a threshold has yet to be fitted; a fixed one, and one that each item's map gives, need no fit."""
        return isinstance(self.threshold, FittedThreshold) and self.threshold.value is None

    def score(self, maps: np.ndarray, context: Context) -> np.ndarray:
        """Apply the steps before the threshold.

        Parameters
        ----------
        maps : numpy.ndarray, (n, *spatial)
            Anomaly maps, higher is more anomalous; what lies outside the brain is not looked at. May be memory-mapped.
        context : Context
            Brain and the rest, on the same grid.

        Returns
        -------
        numpy.ndarray, (n, *spatial), float32
            Continuous scores, 0 outside the brain.

        Raises
        ------
        InputError
            When shapes differ, or a map is not finite inside the brain.
        """
        _check_grid("maps", maps, context)
        scores = np.empty(maps.shape, dtype=np.float32)
        before = self.steps[: self.steps.index(self.threshold)]
        for rows in _groups(maps.shape):
            part = context.rows(rows)
            x = np.where(part.brain, maps[rows], 0).astype(np.float32, copy=False)
            _check_finite(x, rows.start)
            for step in before:
                x = step.apply(x, part)
            scores[rows] = x
        return scores

    def mask_from_scores(self, scores: np.ndarray, context: Context) -> np.ndarray:
        """Apply the threshold and the steps after it to what `score` returned.

        Parameters
        ----------
        scores : numpy.ndarray, (n, *spatial), float32
            Scores of this pipeline; several thresholds can be tried on the same scores.
        context : Context
            Brain and the rest, on the same grid.

        Returns
        -------
        numpy.ndarray, (n, *spatial), bool
            The masks, False outside the brain.

        Raises
        ------
        InputError
            When shapes differ, or the threshold has not been fitted.
        """
        _check_grid("scores", scores, context)
        masks = np.empty(scores.shape, dtype=bool)
        after = self.steps[self.steps.index(self.threshold) :]
        for rows in _groups(scores.shape):
            part = context.rows(rows)
            x = scores[rows]
            for step in after:
                x = step.apply(x, part)
            masks[rows] = x
        return masks

    def mask(self, maps: np.ndarray, context: Context) -> np.ndarray:
        """Apply all steps.

        Parameters
        ----------
        maps : numpy.ndarray, (n, *spatial)
            Anomaly maps, as for `score`.
        context : Context
            Brain and the rest, on the same grid.

        Returns
        -------
        numpy.ndarray, (n, *spatial), bool
            The masks, False outside the brain.

        Raises
        ------
        InputError
            When shapes differ, a map is not finite inside the brain, or the threshold has not been fitted.
        """
        return self.mask_from_scores(self.score(maps, context), context)

    def fit(self, maps: np.ndarray, context: Context, lesion: np.ndarray | None = None) -> Self:
        """Fit the threshold on validation maps, on all voxels of the brain.

        Parameters
        ----------
        maps : numpy.ndarray, (n, *spatial)
            Anomaly maps of validation scans; of healthy ones when there are no labels.
        context : Context
            Brain and the rest, on the same grid.
        lesion : numpy.ndarray, (n, *spatial), optional
            Lesion labels, 0 is healthy.

        Returns
        -------
        Pipeline
            A fitted copy; the pipeline itself when its threshold is fixed, or given by each item's own map.

        Raises
        ------
        InputError
            When shapes differ, labels are needed and missing, or there is no voxel to fit on.
        """
        scores = self.score(maps, context)
        if lesion is None:
            return self.fit_voxels(scores[context.brain])
        _check_grid("lesion", lesion, context)
        return self.fit_voxels(scores[context.brain], lesion[context.brain] != 0)

    def fit_voxels(self, scores: np.ndarray, lesion: np.ndarray | None = None) -> Self:
        """Fit the threshold on the scores of brain voxels, for scans that do not share a grid.

        Parameters
        ----------
        scores : numpy.ndarray, (k,), float32
            `score` of the validation scans, brain voxels only, one scan after the other.
        lesion : numpy.ndarray, (k,), bool, optional
            Which of them are lesion.

        Returns
        -------
        Pipeline
            A fitted copy; the pipeline itself when its threshold is fixed, or given by each item's own map.

        Raises
        ------
        InputError
            When labels are needed and missing, or there is no voxel to fit on.
        """
        threshold = self.threshold
        if isinstance(threshold, LabelFitted) and lesion is None:
            raise InputError(
                f"pipeline {self.name!r}: {type(threshold).__name__} needs lesion labels, found none; give labels, or "
                "choose a threshold that is fitted on healthy scans"
            )
        if isinstance(threshold, FittedThreshold):
            return self.with_threshold(threshold.fit(scores, lesion))
        return self

    def with_threshold(self, threshold: float | Threshold) -> Self:
        """Return the same pipeline with another threshold.

        Parameters
        ----------
        threshold : float or Threshold
            A value in the units of the map, or a threshold step, fitted or not.

        Returns
        -------
        Pipeline
            A copy; this one is left as it is.
        """
        new = threshold if isinstance(threshold, Threshold) else FixedThreshold(value=float(threshold))
        return replace(self, steps=tuple(new if isinstance(step, Threshold) else step for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Return the pipeline with its fitted value as a dictionary that JSON can hold.

        Returns
        -------
        dict
            ``name``, ``description`` and ``steps``; `from_dict` reads it.
        """
        steps = [{"step": type(step).__name__, **step_settings(step)} for step in self.steps]
        return {"name": self.name, "description": self.description, "steps": steps}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Parameters
        ----------
        data : mapping
            ``name``, ``description`` and ``steps``.

        Returns
        -------
        Pipeline
            Equal to the one that was written.

        Raises
        ------
        InputError
            When a key, a step or a setting is missing or unknown.
        """
        try:
            name, steps = data["name"], data["steps"]
        except (KeyError, TypeError) as error:
            raise InputError(f"pipeline: expected keys 'name' and 'steps', found {data!r}") from error
        return cls(name, [_step_from_dict(entry) for entry in steps], data.get("description", ""))


def step_settings(step: Step) -> dict[str, Any]:
    """Return a step's settings as JSON types.

    Parameters
    ----------
    step : Step
        Any registered step.

    Returns
    -------
    dict
        Setting by name; tuples are lists.
    """
    values = {field.name: getattr(step, field.name) for field in fields(step)}  # type: ignore[arg-type]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def nearest(name: object, known: Sequence[str]) -> str:
    """Say which names are known, the nearest first, for a message.

    Parameters
    ----------
    name : object
        What was asked for.
    known : sequence of str
        What there is.

    Returns
    -------
    str
        ``did you mean 'a'? (known: a, b)`` or ``known: a, b``.
    """
    close = get_close_matches(str(name), known, n=2)
    listing = f"known: {', '.join(known)}"
    return f"did you mean {' or '.join(map(repr, close))}? ({listing})" if close else listing


def _step_from_dict(entry: Mapping[str, Any]) -> Step:
    """Make one step from its name and settings."""
    if not isinstance(entry, Mapping) or "step" not in entry:
        raise InputError(f"pipeline: a step is a mapping with key 'step', found {entry!r}")
    name = entry["step"]
    if name not in STEPS:
        raise InputError(f"pipeline: unknown step {name!r}; {nearest(name, list(STEPS))}")
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    del settings["step"]
    known = [field.name for field in fields(STEPS[name])]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise InputError(f"pipeline: {name} has no setting {key!r}; {nearest(key, known)}")
    try:
        return STEPS[name](**settings)
    except TypeError as error:
        raise InputError(f"pipeline: {name} cannot be made from {settings}: {error}") from error


def _groups(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of items, about _GROUP_VOXELS voxels each."""
    size = max(1, _GROUP_VOXELS // max(1, int(np.prod(shape[1:]))))
    return (slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size))


def _check_grid(name: str, array: np.ndarray, context: Context) -> None:
    """Refuse an array on another grid than the brain."""
    if array.shape != context.brain.shape:
        raise InputError(f"{name}: expected the shape of the brain {context.brain.shape}, found {array.shape}")


def _check_finite(x: np.ndarray, first: int) -> None:
    """Refuse maps with NaN or infinity inside the brain, naming the first."""
    bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if bad.any():
        raise InputError(
            f"maps: item {first + int(np.argmax(bad))} holds NaN or infinite values inside the brain; "
            "expected finite anomaly values"
        )
