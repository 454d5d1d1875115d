"""Transfer: trained on the people of one cohort, tested on those of another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from uad_eval.comparison import Comparison
from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.cohorts import check_cohort, open_cohort
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.relabel import relabel
from uad_eval.results import POOLED, Evaluation, RunKey
from uad_eval.scope import Scope
from uad_models import load_run, method_class, predict_rows
from uad_postproc import Context
from uad_postproc.pipelines import pipeline

_FIGURE = ("average_precision", "", POOLED)


def other_cohorts(text: str, settings: ExperimentSettings) -> tuple[str, ...]:
    """Read which other cohorts a transfer goes to, and refuse what cannot be done before anything runs.

    Parameters
    ----------
    text : str
        Names or paths between blanks, as `run_elsewhere` takes them; empty for none.
    settings : ExperimentSettings
        Of the experiment at home.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    InputError
        A cohort that is not known, not there, given twice or the one at home; people in folds; or nothing is trained.
    """
    names = tuple(text.split())
    if not names:
        return ()
    for name in names:
        kind, _, seed = name.partition(":")
        check_cohort(kind if kind == "phantom" and seed.isdecimal() else name)
        if name.endswith(".csv") and not Path(name).is_file():
            raise InputError(f"transfer: {name}: no such file; give the path of a cohort.csv")
        if name == settings.cohort or names.count(name) > 1:
            raise InputError(f"transfer: expected other cohorts than {settings.cohort}, each once, found {text!r}")
    _check_no_folds(settings)
    if not any(method_class(spec.name).trained for spec in settings.methods):
        raise InputError("transfer: expected a method that learns, found none; add one to methods")
    return names


def run_elsewhere(
    settings: ExperimentSettings,
    cohorts: Sequence[str],
    methods: Sequence[MethodSpec],
    *,
    subjects: int,
    progress: bool = True,
) -> dict[str, Experiment]:
    """Run the same methods on other cohorts.

    Parameters
    ----------
    settings : ExperimentSettings
        Of the experiment at home; its cohort is left out.
    cohorts : sequence of str
        Names or paths as `open_cohort` takes them, or ``"phantom:1"`` for a phantom cohort of another seed.
    methods : sequence of MethodSpec
        What to run.
    subjects : int
        People of such a phantom cohort.
    progress : bool
        Say what is at work.

    Returns
    -------
    dict of str to Experiment
        By name of the cohort; results in ``<output>/on-<name>``.
    """
    found = {}
    for name in cohorts:
        kind, _, seed = name.partition(":")
        other = replace(settings, cohort=name, methods=tuple(methods))
        if kind == "phantom" and seed.isdigit():
            made = open_cohort(kind, cache=settings.cache, subjects=subjects, seed=int(seed), workers=settings.workers)
            other = replace(other, cohort=str(made.root / "cohort.csv"))
        if other.cohort_name != settings.cohort_name:
            other = replace(other, output=settings.output / f"on-{other.cohort_name}")
            found[other.cohort_name] = run_experiment(other, progress=progress).whole()
    return found


def evaluate_elsewhere(home: Experiment, method: MethodSpec, other: Experiment) -> Evaluation:
    """Test what was trained on one cohort on the test people of another.

    Parameters
    ----------
    home : Experiment
        Whose trainings are used, of the cohort's own split.
    method : MethodSpec
        Which of its methods.
    other : Experiment
        Whose labelled test people are scored, prepared to the same size and sequences.

    Returns
    -------
    Evaluation
        Of all the method's seeds, under the other's cohort; no masks, as thresholds do not travel. Kept in
        ``<output>/cells/<cell>-on-<arrays>`` of `home` and read from there the next time.
    """
    _check_no_folds(home.settings)
    _check_no_folds(other.settings)
    cells = [cell for cell in home.cells if str(cell.spec) == str(method)]
    return Evaluation.concat([_tested(home, cell, other) for cell in cells])


def transfer_matrices(home: Experiment, others: Sequence[str], *, progress: bool = True) -> dict[str, pd.DataFrame]:
    """Run the experiment's methods on other cohorts too, and test every training on every cohort.

    Parameters
    ----------
    home : Experiment
        A finished experiment; a method that failed is left out.
    others : sequence of str
        From `other_cohorts`; a phantom of another seed has as many people as the experiment's.
    progress : bool
        Say what is at work.

    Returns
    -------
    dict of str to pandas.DataFrame
        Method that learns, to what `transfer_matrix` gives, beside the first method that does not learn; empty without
        other cohorts.
    """
    if not others:
        return {}
    done = tuple({str(cell.spec): cell.spec for cell in home.cells}.values())
    trained = [spec for spec in done if method_class(spec.name).trained]
    baseline = next((spec for spec in done if spec not in trained), None)
    elsewhere = run_elsewhere(home.settings, others, done, subjects=home.settings.subjects, progress=progress)
    everywhere = {home.settings.cohort_name: home} | elsewhere
    return {str(spec): transfer_matrix(everywhere, spec, baseline) for spec in trained}


def transfer_matrix(
    experiments: Mapping[str, Experiment], method: MethodSpec, baseline: MethodSpec | None = None
) -> pd.DataFrame:
    """Test each cohort's training on every cohort.

    Parameters
    ----------
    experiments : mapping of str to Experiment
        By name of the cohort; each has run both methods.
    method : MethodSpec
        The one that is trained.
    baseline : MethodSpec, optional
        One that is not, for a row of its own.

    Returns
    -------
    pandas.DataFrame
        ``row`` (trained on), ``column`` (tested on), ``value, low, high`` (pooled average precision and its interval
        over people), ``difference`` from training on the tested cohort itself, paired, with its interval,
        ``trained`` (False for the baseline) and ``note``.
    """
    rows = []
    untrained = [] if baseline is None else [(str(baseline), str(baseline))]
    for tested, other in experiments.items():
        names = {name: f"trained on {name}" for name in experiments}
        parts = [relabel(other.evaluation, {str(method): names[tested]} | dict(untrained))]
        for name, home in experiments.items():
            if name != tested:
                part = evaluate_elsewhere(home, method, other)
                parts.append(relabel(part, {str(method): names[name]}, cohort=other.settings.cohort_name))
        comparison = Comparison(Evaluation.concat(parts))
        own = (names[tested], *_FIGURE)
        people = other.store.index.iloc[other.test_rows]["subject"].nunique()
        for name, label in [*names.items(), *untrained]:
            estimate = comparison.over_seeds((label, *_FIGURE))
            lost = comparison.difference((label, *_FIGURE), own)
            rows.append(
                {"row": name, "column": tested}
                | estimate._asdict()
                | {"difference": lost.value, "difference_low": lost.low, "difference_high": lost.high}
                | {"trained": name in experiments, "note": f"{people} people"}
            )
    return pd.DataFrame(rows)


def _check_no_folds(settings: ExperimentSettings) -> None:
    """Refuse folds: a training of one has seen people whom another tests."""
    if settings.folds:
        raise InputError("transfer: expected the cohorts' own splits, found an experiment in folds: set folds to 0")


def _tested(home: Experiment, cell: Cell, other: Experiment) -> Evaluation:
    """Predict and score, or read what an earlier run left."""
    store, settings = other.store, other.settings
    folder = home.settings.output / "cells" / f"{cell.folder.name}-on-{store.digest[:8]}"
    if (folder / "results.parquet").is_file():
        return Evaluation.read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = store.rows("test")
    rows = rows[store.index["lesion_voxels"].to_numpy()[rows] >= 0]
    method, _ = load_run(cell.folds[0].run)
    predict_rows(method, store, rows, folder / "maps.npy", accelerator=settings.accelerator)
    brain, index = store.brain[rows], store.index.iloc[rows]
    scores = pipeline(settings.pipeline).score(np.load(folder / "maps.npy", mmap_mode="r"), Context(brain))
    (folder / "maps.npy").unlink()
    evaluation = evaluate(
        scores,
        store.lesion[rows],
        brain,
        index["subject"].to_numpy(),
        key=RunKey(
            cohort=settings.cohort_name, method=str(cell.spec), seed=cell.seed, scope=Scope(slices=settings.slices)
        ),
        pathologies=index["pathology"].to_numpy(),
    )
    evaluation.write(folder)
    return evaluation
