"""One cell of the grid: a method and a seed, from training to rows of the result tables."""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from uad_data import ArrayStore
from uad_eval.evaluation import evaluate
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.watch import Watch
from uad_eval.protocols import (
    HEALTHY_VALIDATION,
    LESION_VALIDATION,
    healthy_validation_threshold,
    lesion_validation_threshold,
)
from uad_eval.reconstruction import evaluate_reconstruction
from uad_eval.results import Evaluation, RunKey, single_figures
from uad_eval.samples import evaluate_samples
from uad_eval.scope import Scope
from uad_models import Method, TrainConfig, fit, method_class, predict_rows
from uad_models.overrides import parse_overrides
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import pipeline

CELL_FORMAT = 1
_PACKAGES = ("uad-data", "uad-models", "uad-postproc", "uad-eval", "torch")


@dataclass(frozen=True)
class Cell:
    """A method and a seed, and where their files are.

    Parameters
    ----------
    spec : MethodSpec
        The method and its settings.
    seed : int
        Of the training.
    folder : Path
        ``run/`` (the run folder), ``test_scores.npy`` and ``reconstruction.npy`` (in the order of
        ``store.rows("test")``), the tables of an `Evaluation`, and ``cell.json``, which is written last.
    """

    spec: MethodSpec
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        """Whether the cell was computed to its end."""
        return (self.folder / "cell.json").is_file()

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.folder / "run"

    def facts(self) -> dict[str, Any]:
        """Read config, parameters, seconds, memory and thresholds of a finished cell."""
        return json.loads((self.folder / "cell.json").read_text(encoding="utf-8"))


def make_cell(spec: MethodSpec, seed: int, store: ArrayStore, settings: ExperimentSettings) -> Cell:
    """Give a cell its folder: named for the method and seed, keyed by everything that decides its figures.

    Parameters
    ----------
    spec : MethodSpec
        The method.
    seed : int
        Of the training.
    store : ArrayStore
        The prepared cohort.
    settings : ExperimentSettings
        Of the experiment.

    Returns
    -------
    Cell
        Perhaps done already.
    """
    key = {
        "format": CELL_FORMAT,
        "arrays": store.digest,
        "cohort": settings.cohort_name,
        "method": str(spec),
        "seed": seed,
        "preset": settings.preset,
        "pipeline": pipeline(settings.pipeline).to_dict(),
        "false_positive_rate": settings.false_positive_rate,
        "versions": {name: version(name) for name in _PACKAGES},
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    return Cell(spec, seed, settings.output / "cells" / f"{spec.slug}-seed{seed}-{digest}")


def run_cell(cell: Cell, store: ArrayStore, settings: ExperimentSettings, *, progress: bool = True) -> Evaluation:
    """Train, predict, post-process and judge; or read what an earlier run left.

    Parameters
    ----------
    cell : Cell
        From `make_cell`.
    store : ArrayStore
        The prepared cohort.
    settings : ExperimentSettings
        Of the experiment.
    progress : bool
        Show progress bars.

    Returns
    -------
    Evaluation
        Its tables.
    """
    if cell.done:
        return Evaluation.read(cell.folder)
    cell.folder.mkdir(parents=True, exist_ok=True)
    watch = Watch()
    with watch.phase("train"):
        method = _train(cell, store, settings, progress=progress)
    with watch.phase("predict"):
        samples = _predict(cell, method, store, settings)
    thresholds = _thresholds(cell, store, settings)
    evaluation = _judge(cell, store, settings, thresholds, samples, watch)
    evaluation.write(cell.folder)
    facts = {
        "method": str(cell.spec),
        "seed": cell.seed,
        "config": method.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "thresholds": thresholds,
        "measured": {name: value for name, (value, _) in watch.measured().items()},
    }
    _write_json(facts, cell.folder / "cell.json")
    return evaluation


def fitted_pipelines(cell: Cell, settings: ExperimentSettings) -> dict[str, Pipeline]:
    """Give the pipeline of a finished cell, once per threshold protocol.

    Parameters
    ----------
    cell : Cell
        A finished cell.
    settings : ExperimentSettings
        Of the experiment.

    Returns
    -------
    dict of str to Pipeline
        Protocol to pipeline with that protocol's threshold.
    """
    return _with_thresholds(cell.facts()["thresholds"], settings)


def _with_thresholds(thresholds: dict[str, float], settings: ExperimentSettings) -> dict[str, Pipeline]:
    """Put each protocol's threshold into the pipeline."""
    return {protocol: pipeline(settings.pipeline).with_threshold(value) for protocol, value in thresholds.items()}


def typed_settings(spec: MethodSpec) -> dict[str, dict[str, Any]]:
    """Give a spec's settings their types.

    Parameters
    ----------
    spec : MethodSpec
        A method and its settings as text.

    Returns
    -------
    dict
        ``config``, the method's own, and ``train``, the trainer's.

    Raises
    ------
    InputError
        The method or a setting does not exist, or a value has the wrong type.
    """
    pairs = [f"{key}={value}" for key, value in spec.settings.items()]
    groups = {"config": method_class(spec.name).Config, "train": TrainConfig}
    return parse_overrides(pairs, groups, flags={"in_channels": "modalities", "size": "size"})


def _train(cell: Cell, store: ArrayStore, settings: ExperimentSettings, *, progress: bool) -> Method:
    """Train, resume or load."""
    given = typed_settings(cell.spec)
    return fit(
        cell.spec.name,
        store,
        cell.run,
        preset=settings.preset,
        seed=cell.seed,
        config=given["config"],
        train={"accelerator": settings.accelerator} | given["train"],
        progress=progress,
    )


def _predict(cell: Cell, method: Method, store: ArrayStore, settings: ExperimentSettings) -> np.ndarray:
    """Write smoothed maps of validation and test, and reconstructions of test; return the test rows' sample scores."""
    steps = pipeline(settings.pipeline)
    for split, kept in (("val", None), ("test", cell.folder / "reconstruction.npy")):
        rows, maps = store.rows(split), cell.folder / f"{split}_maps.npy"
        samples = predict_rows(method, store, rows, maps, reconstruction_out=kept, accelerator=settings.accelerator)
        scores = steps.score(np.load(maps, mmap_mode="r"), Context(store.brain[rows]))
        np.save(cell.folder / f"{split}_scores.npy", scores)
        maps.unlink()
    return samples


def _thresholds(cell: Cell, store: ArrayStore, settings: ExperimentSettings) -> dict[str, float]:
    """Fit the thresholds on validation: on all labelled rows, where they show a lesion, and on healthy rows alone."""
    rows = store.rows("val")
    scores, brain = np.load(cell.folder / "val_scores.npy", mmap_mode="r"), store.brain[rows]
    healthy = np.isin(rows, store.healthy_rows("val"))
    rate = settings.false_positive_rate
    found = {
        HEALTHY_VALIDATION: healthy_validation_threshold(scores[healthy][brain[healthy]], false_positive_rate=rate)
    }
    labelled = store.index["lesion_voxels"].to_numpy()[rows] >= 0
    lesion = store.lesion[rows[labelled]][brain[labelled]] > 0
    if lesion.any():
        found[LESION_VALIDATION] = lesion_validation_threshold(scores[labelled][brain[labelled]], lesion)
    return found


def _judge(
    cell: Cell,
    store: ArrayStore,
    settings: ExperimentSettings,
    thresholds: dict[str, float],
    samples: np.ndarray,
    watch: Watch,
) -> Evaluation:
    """Score the test rows that are labelled."""
    rows = store.rows("test")
    labelled = np.flatnonzero(store.index["lesion_voxels"].to_numpy()[rows] >= 0)
    rows = rows[labelled]
    index = store.index.iloc[rows]
    scope = Scope(slices=settings.slices)
    key = RunKey(cohort=settings.cohort_name, method=str(cell.spec), seed=cell.seed, scope=scope)
    scores, brain = np.load(cell.folder / "test_scores.npy", mmap_mode="r")[labelled], store.brain[rows]
    pipelines = _with_thresholds(thresholds, settings)
    masks = {name: steps.mask_from_scores(scores, Context(brain)) for name, steps in pipelines.items()}
    subjects, pathologies = index["subject"].to_numpy(), index["pathology"].to_numpy()
    anomalous = index["lesion_voxels"].to_numpy() > 0
    parts = [
        evaluate(
            scores,
            store.lesion[rows],
            brain,
            subjects,
            key=key,
            pathologies=pathologies,
            masks=masks,
            thresholds=thresholds,
            false_positive_rate=settings.false_positive_rate,
        ),
        evaluate_samples(samples[labelled], anomalous, subjects, key=key, scans=index["scan"], pathologies=pathologies),
        single_figures(key, watch.measured()),
    ]
    healthy = np.flatnonzero(~anomalous)
    if len(healthy) and method_class(cell.spec.name).trained:
        rebuilt = np.load(cell.folder / "reconstruction.npy", mmap_mode="r")[labelled[healthy]]
        parts.append(
            evaluate_reconstruction(
                store.image[rows[healthy]].astype(np.float32), rebuilt, brain[healthy], subjects[healthy], key=key
            )
        )
    return Evaluation.concat(parts)


def _write_json(values: dict[str, Any], path: Path) -> None:
    """Write at once or not at all."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(values, indent=2), encoding="utf-8")
    os.replace(unfinished, path)
