"""From map to mask: the threshold of a run, fitted on healthy people that it was not trained on.

It is the lowest at which a stated share of their brains, in the mean, is marked when the pipeline is done: 5 in 1,000,
about 6 ml of a whole brain, unless told otherwise. Where the map is a probability (`Method.finds_lesions`, and what
learned from labels) it is never below one half. ``pipeline.json`` in the run folder holds the fitted pipeline
(`uad_postproc`), how many people and items it was fitted on, how much of a healthy brain it marks, and what it was
fitted with, so that it is fitted again when that changes.
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
from uad_postproc import Context, Pipeline, lowest_threshold
from uad_postproc import InputError as PipelineError
from uad_postproc.pipelines import pipeline as find_pipeline
from uad_postproc.steps import HealthyQuantile

VERDICT = "pipeline.json"
VERDICT_FORMAT = 2
DEFAULT_PIPELINE = "poster2023"
HEALTHY_SHARE = 0.005
"""Share of a healthy brain that may be marked: about 6 ml of a whole one."""
_EVEN = 0.5  # of a probability: lesion is as likely as not
# A fit needs no more, though never less than a scan; memory and disk hold 4 bytes for each.
_MOST_VOXELS = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A fitted pipeline, and how it was fitted.

    Parameters
    ----------
    pipeline
        With its threshold.
    false_positive_rate
        Share of healthy brain voxels above the threshold, before the steps that follow it.
    people, items
        Healthy people, and slices or volumes of theirs, that it was fitted on.
    healthy_mean, healthy_median, healthy_high
        Share of the brain that the whole pipeline marks in their scans: in the mean, which was kept to what was stated
        or is below it; in half of the scans at most; in 95 % of them at most.
    key
        What decided the fit: weights, arrays, pipeline.
    """

    pipeline: Pipeline
    false_positive_rate: float
    people: int
    items: int
    healthy_mean: float
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
    healthy_share: float = HEALTHY_SHARE,
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
        One of `uad_postproc.list_pipelines` whose threshold is fitted on healthy scans; its steps are used, with this
        fit in place of its own.
    healthy_share
        Share of the brain that the whole pipeline may mark in a healthy scan, in the mean; above 0 and below 1.
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
        The run is not finished or belongs to other arrays, there is no healthy validation row, the pipeline's threshold
        is not one for healthy scans, the share is none, or the disk is full.
    """
    run = Path(run)
    method, config = load_run(run)
    if config.digest != store.digest:
        raise InputError(f"run {run} was trained on other images: fit its threshold on the arrays {config.digest}")
    steps = _fitted_on_healthy(pipeline)
    check_share(healthy_share)
    key: dict[str, Any] = {
        "model": weights_digest(run),
        "arrays": store.digest,
        "pipeline": steps.to_dict(),
        "healthy_share": healthy_share,
    }
    earlier = load_verdict(run)
    if earlier and earlier.key == json.loads(json.dumps(key)):
        return earlier
    rows = _whole_scans(store, store.healthy_rows("val"))
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=run) as folder:
        path = Path(folder) / "maps.npy"
        predict_rows(method, store, rows, path, accelerator=accelerator, progress=progress)
        least = _EVEN if method.finds_lesions or method.labelled else -np.inf
        verdict = _fit(steps, store, rows, np.load(path), key, least=least)
    _write(verdict, run / VERDICT)
    return verdict


def check_share(healthy_share: float) -> None:
    """Refuse what is no share of a brain.

    Parameters
    ----------
    healthy_share
        As `fit_verdict` takes it.

    Raises
    ------
    InputError
        It is not above 0 and below 1.
    """
    if not 0 < healthy_share < 1:
        raise InputError(f"healthy_share: expected above 0 and below 1, such as {HEALTHY_SHARE}, found {healthy_share}")


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


def _fitted_on_healthy(name: str) -> Pipeline:
    """Find a pipeline whose threshold is one for healthy scans."""
    try:
        steps = find_pipeline(name)
    except PipelineError as error:
        raise InputError(str(error)) from error
    if not isinstance(steps.threshold, HealthyQuantile):
        raise InputError(
            f"pipeline {name!r}: expected a threshold that is fitted on healthy scans, found "
            f"{type(steps.threshold).__name__}; choose {DEFAULT_PIPELINE!r}"
        )
    return steps


def _whole_scans(store: ArrayStore, rows: np.ndarray) -> np.ndarray:
    """Take the rows of evenly spread scans, as many as fit into memory."""
    scans = store.index["scan"].to_numpy()[rows]
    names = np.unique(scans)
    every = -(-len(rows) * int(np.prod(store.spec.size)) // _MOST_VOXELS)
    return rows[np.isin(scans, names[::every])]


def _fit(
    steps: Pipeline,
    store: ArrayStore,
    rows: np.ndarray,
    maps: np.ndarray,
    key: dict[str, Any],
    *,
    least: float,
) -> Verdict:
    """Find the threshold by what the finished masks of all scans take of their brains; it is not below `least`."""
    scores = [(steps.score(maps[part], context), context) for part, context in _scans(store, rows)]
    inside = np.concatenate([score[context.brain] for score, context in scores])
    sizes = [np.count_nonzero(context.brain) for _, context in scores]

    def shares(threshold: float) -> np.ndarray:
        """Give the share of each scan's brain that is marked."""
        cut = steps.with_threshold(threshold)
        marked = [np.count_nonzero(cut.mask_from_scores(score, context)) for score, context in scores]
        return np.divide(marked, np.maximum(sizes, 1))

    threshold = lowest_threshold(inside, lambda value: float(shares(value).mean()), at_most=key["healthy_share"])
    threshold = max(threshold, least)
    marked = shares(threshold)
    return Verdict(
        pipeline=steps.with_threshold(threshold),
        false_positive_rate=float((inside > np.float32(threshold)).mean()),
        people=store.index["subject"].iloc[rows].nunique(),
        items=len(rows),
        healthy_mean=float(marked.mean()),
        healthy_median=float(np.median(marked)),
        healthy_high=float(np.quantile(marked, 0.95)),
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
