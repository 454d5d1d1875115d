"""From map to mask: the threshold of a run, fitted on healthy people that it was not trained on.

``pipeline.json`` in the run folder holds the fitted pipeline (`uad_postproc`), how many people and items it was fitted
on, how much of a healthy brain it marks, and what it was fitted with, so that it is fitted again when that changes.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uad_data.arrays import ArrayStore
from uad_data.errors import InputError
from uad_models.checkpoint import replacing
from uad_models.predict import predict_rows
from uad_models.run_folder import MODEL, load_run
from uad_postproc import Context, Pipeline
from uad_postproc import InputError as PipelineError
from uad_postproc.pipelines import pipeline as find_pipeline
from uad_postproc.steps import HealthyQuantile

VERDICT = "pipeline.json"
VERDICT_FORMAT = 1
DEFAULT_PIPELINE = "poster2023"
# A quantile of 2 % needs no more; memory and disk hold 4 bytes for each.
_MOST_VOXELS = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A fitted pipeline, and how it was fitted.

    Parameters
    ----------
    pipeline
        With its threshold.
    false_positive_rate
        Share of healthy brain voxels that were allowed above the threshold, or lie above the least there is.
    people, items
        Healthy people, and slices or volumes of theirs, that it was fitted on.
    healthy_median, healthy_high
        Share of the brain that the whole pipeline marks in those people: their median, and what 95 % of them stay
        below.
    key
        What decided the fit: weights, arrays, pipeline.
    """

    pipeline: Pipeline
    false_positive_rate: float
    people: int
    items: int
    healthy_median: float
    healthy_high: float
    key: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The value above which a voxel of the smoothed map counts."""
        return float(self.pipeline.threshold.value or 0.0)


def fit_verdict(
    run: str | Path,
    store: ArrayStore,
    *,
    pipeline: str = DEFAULT_PIPELINE,
    false_positive_rate: float | None = None,
    at_least: float | None = None,
    accelerator: str = "auto",
    progress: bool = True,
) -> Verdict:
    """Fit a pipeline's threshold on the healthy validation rows, or read what an earlier call left.

    Parameters
    ----------
    run
        The folder of a finished run; ``pipeline.json`` is written there.
    store
        The arrays that it was trained on.
    pipeline
        One of `uad_postproc.list_pipelines` whose threshold is fitted on healthy scans.
    false_positive_rate
        Share of healthy brain voxels above the threshold; None takes the pipeline's own.
    at_least
        The threshold is not below this, however few healthy voxels exceed it; for maps of probabilities that were
        learned from labels, 0.5.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    progress
        Show a progress bar.

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        The run is not finished or belongs to other arrays, there is no healthy validation row, the pipeline needs
        labels, or the disk is full.
    """
    run = Path(run)
    method, config = load_run(run)
    if config.digest != store.digest:
        raise InputError(f"run {run} was trained on other images: fit its threshold on the arrays {config.digest}")
    steps = _with_rate(pipeline, false_positive_rate)
    key: dict[str, Any] = {"model": weights_digest(run), "arrays": store.digest, "pipeline": steps.to_dict()}
    if at_least is not None:
        key["at_least"] = at_least
    earlier = load_verdict(run)
    if earlier and earlier.key == json.loads(json.dumps(key)):
        return earlier
    rows = _spread(store.healthy_rows("val"), int(np.prod(store.spec.size)))
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=run) as folder:
        path = Path(folder) / "maps.npy"
        predict_rows(method, store, rows, path, accelerator=accelerator, progress=progress)
        verdict = _fit(steps, store, rows, np.load(path), key, at_least=at_least)
    _write(verdict, run / VERDICT)
    return verdict


def load_verdict(run: str | Path) -> Verdict | None:
    """Read the threshold of a run.

    Parameters
    ----------
    run
        The run folder.

    Returns
    -------
    Verdict or None
        None where none was fitted.

    Raises
    ------
    InputError
        The file is damaged or of a newer version.
    """
    path = Path(run) / VERDICT
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != VERDICT_FORMAT:
            raise ValueError("another format")
        return Verdict(**values | {"pipeline": Pipeline.from_dict(values["pipeline"])})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be used ({error}): delete it and run the same 'uad-models train' again, it fits a new one"
        ) from error


def pipeline_with(threshold: float, verdict: Verdict | None) -> Pipeline:
    """Return the run's pipeline, or the default one, with a threshold of one's own.

    Parameters
    ----------
    threshold
        In the units of the map.
    verdict
        Of the run, if it has one.

    Returns
    -------
    Pipeline

    Raises
    ------
    InputError
        The threshold is no finite number.
    """
    try:
        return (verdict.pipeline if verdict else find_pipeline(DEFAULT_PIPELINE)).with_threshold(threshold)
    except PipelineError as error:
        raise InputError(f"threshold: {error}") from error


def weights_digest(run: Path) -> str:
    """Return a digest of a run's weights.

    Parameters
    ----------
    run
        The folder of a finished run.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    with open(run / MODEL, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _with_rate(name: str, rate: float | None) -> Pipeline:
    """Find a pipeline whose threshold is fitted on healthy scans, and set its rate."""
    try:
        steps = find_pipeline(name)
        threshold = steps.threshold
        if not isinstance(threshold, HealthyQuantile):
            raise InputError(
                f"pipeline {name!r}: expected a threshold that is fitted on healthy scans, found "
                f"{type(threshold).__name__}; choose {DEFAULT_PIPELINE!r}"
            )
        return steps if rate is None else steps.with_threshold(replace(threshold, false_positive_rate=rate))
    except PipelineError as error:
        raise InputError(str(error)) from error


def _spread(rows: np.ndarray, voxels: int) -> np.ndarray:
    """Take evenly spread rows, as many as fit into memory."""
    return rows[:: -(-len(rows) * voxels // _MOST_VOXELS)]


def _fit(
    steps: Pipeline,
    store: ArrayStore,
    rows: np.ndarray,
    maps: np.ndarray,
    key: dict[str, Any],
    *,
    at_least: float | None = None,
) -> Verdict:
    """Fit on the voxels of all people alike, then look at what is marked in each."""
    scores = [(steps.score(maps[part], context), context) for part, context in _scans(store, rows)]
    inside = np.concatenate([score[context.brain] for score, context in scores])
    fitted = steps.fit_voxels(inside)
    rate = steps.threshold.false_positive_rate  # type: ignore[attr-defined]
    if at_least is not None and float(fitted.threshold.value or 0.0) < at_least:
        fitted, rate = steps.with_threshold(at_least), float((inside > at_least).mean())
    shares = [float(fitted.mask_from_scores(score, context)[context.brain].mean()) for score, context in scores]
    return Verdict(
        pipeline=fitted,
        false_positive_rate=rate,
        people=store.index["subject"].iloc[rows].nunique(),
        items=len(rows),
        healthy_median=float(np.median(shares)),
        healthy_high=float(np.quantile(shares, 0.95)),
        key=key,
    )


def _scans(store: ArrayStore, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Context]]:
    """Yield, scan by scan, the places of its rows and their surroundings; scans differ in the size of a pixel."""
    index = store.index.iloc[rows]
    for scan in index["scan"].unique():
        part = np.flatnonzero(index["scan"].to_numpy() == scan)
        pixel = float(index["pixel_mm"].iloc[part[0]])
        yield part, Context(store.brain[rows[part]], (pixel,) * len(store.spec.size))


def _write(verdict: Verdict, path: Path) -> None:
    """Write the file as a whole."""
    values = {"format": VERDICT_FORMAT, **asdict(replace(verdict, key={})), "key": verdict.key}
    values["pipeline"] = verdict.pipeline.to_dict()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
