"""Ablation without training again: the same weights, other settings of the map."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.settings import MethodSpec
from uad_eval.experiment.training import typed_settings
from uad_eval.relabel import relabel
from uad_eval.results import Evaluation, RunKey
from uad_eval.scope import Scope
from uad_models import Method, load_run, predict_rows
from uad_postproc import Context
from uad_postproc.pipelines import pipeline


def run_map_variants(
    experiment: Experiment, method: MethodSpec, variants: Mapping[str, Mapping[str, str]]
) -> Evaluation:
    """Score the test people with other settings of the map of a trained method.

    Parameters
    ----------
    experiment : Experiment
        With the cohort's own split.
    method : MethodSpec
        Which of its methods.
    variants : mapping of str to mapping of str to str
        Name to the settings that differ, as text. They must leave all weights as they are.

    Returns
    -------
    Evaluation
        Of all the method's seeds, by name of the variant; no masks, as no thresholds are fitted. Kept in
        ``<output>/cells/<cell>-with-<settings>`` and read from there the next time. A variant that differs in nothing
        has the experiment's own figures.

    Raises
    ------
    InputError
        An experiment in folds, a method it has not, or settings that are of training or need other weights.
    """
    if experiment.settings.folds:
        raise InputError("map variants: expected the cohort's own split, found an experiment in folds: set folds to 0")
    cells = [cell for cell in experiment.cells if str(cell.spec) == str(method)]
    if not cells:
        known = ", ".join(sorted({str(cell.spec) for cell in experiment.cells}))
        raise InputError(f"method {str(method)!r}: expected one of the experiment's: {known}")
    return Evaluation.concat(
        [_scored(experiment, cell, name, settings) for name, settings in variants.items() for cell in cells]
    )


def with_settings(method: Method, spec: MethodSpec) -> Method:
    """Give a method other settings and the same weights.

    Parameters
    ----------
    method : Method
        Trained.
    spec : MethodSpec
        The method's name and the settings that differ.

    Returns
    -------
    Method
        A new one, for prediction.

    Raises
    ------
    InputError
        Settings of training, or such as need other weights.
    """
    given = typed_settings(spec)
    if given["train"]:
        raise InputError(f"{spec}: {', '.join(given['train'])}: expected settings of the map, found some of training")
    other = type(method)(replace(method.config, **given["config"]))
    try:
        other.load_state_dict(method.state_dict())
    except RuntimeError as error:
        raise InputError(f"{spec}: expected settings that leave the weights as they are ({error})") from error
    return other.eval()


def _scored(experiment: Experiment, cell: Cell, name: str, settings: Mapping[str, str]) -> Evaluation:
    """Predict and score, or read what an earlier run left."""
    store, spec = experiment.store, MethodSpec(cell.spec.name, dict(settings))
    digest = hashlib.sha256(json.dumps([name, dict(settings)], sort_keys=True).encode()).hexdigest()[:8]
    folder = experiment.settings.output / "cells" / f"{cell.folder.name}-with-{digest}"
    if (folder / "results.parquet").is_file():
        return Evaluation.read(folder)
    trained, _ = load_run(cell.folds[0].run)
    method = with_settings(trained, spec)
    if method.config == trained.config:
        return relabel(Evaluation.read(cell.folder), {str(cell.spec): name})
    folder.mkdir(parents=True, exist_ok=True)
    rows = store.rows("test")
    rows = rows[store.index["lesion_voxels"].to_numpy()[rows] >= 0]
    predict_rows(method, store, rows, folder / "maps.npy", accelerator=experiment.settings.accelerator)
    brain, index = store.brain[rows], store.index.iloc[rows]
    scores = pipeline(experiment.settings.pipeline).score(np.load(folder / "maps.npy", mmap_mode="r"), Context(brain))
    (folder / "maps.npy").unlink()
    evaluation = evaluate(
        scores,
        store.lesion[rows],
        brain,
        index["subject"].to_numpy(),
        key=RunKey(
            cohort=experiment.settings.cohort_name,
            method=name,
            seed=cell.seed,
            scope=Scope(slices=experiment.settings.slices),
        ),
        pathologies=index["pathology"].to_numpy(),
    )
    evaluation.write(folder)
    return evaluation
