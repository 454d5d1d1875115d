"""An experiment on fewer training people; those of validation and test stay."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from uad_data import Cohort
from uad_eval.errors import InputError
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.json_file import write_json
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec

_SEED = 0  # of the choice: of two numbers of people the smaller group is part of the larger


def fewer_people(cohort: Cohort, people: int) -> Cohort:
    """Keep some training people, drawn at random, and everyone else.

    Parameters
    ----------
    cohort : Cohort
        With splits.
    people : int
        Training people to keep, at least 1 and at most as many as there are.

    Returns
    -------
    Cohort
        The same rows otherwise.

    Raises
    ------
    InputError
        There are not so many.
    """
    training = np.unique(cohort.table["subject"][cohort.table["split"] == "train"])
    if not 1 <= people <= len(training):
        raise InputError(f"people: expected 1 to {len(training)}, the training people there are, found {people}")
    kept = np.random.default_rng(_SEED).permutation(training)[:people]
    return Cohort(cohort.table[(cohort.table["split"] != "train") | cohort.table["subject"].isin(kept)], cohort.root)


def run_with_fewer_people(
    settings: ExperimentSettings, counts: Sequence[int], method: MethodSpec, *, progress: bool = True
) -> dict[int, Experiment]:
    """Run a method once per number of training people.

    Parameters
    ----------
    settings : ExperimentSettings
        Of the experiment on all people; its own split, no folds.
    counts : sequence of int
        Numbers of training people.
    method : MethodSpec
        What to train.
    progress : bool
        Say what is at work.

    Returns
    -------
    dict of int to Experiment
        By number of people. Tables of the chosen people are kept in ``<cache>/people``, results in
        ``<output>/people-<number>``.

    Raises
    ------
    InputError
        There are not so many people, or folds were asked for.
    """
    if settings.folds:
        raise InputError("people: expected the cohort's own split (folds 0), as folds of fewer people are others")
    cohort = open_cohort(
        settings.cohort, cache=settings.cache, subjects=settings.subjects, workers=settings.workers
    ).with_modalities(settings.modalities)
    fewer = {people: fewer_people(cohort, people) for people in counts}
    return {
        people: run_experiment(
            replace(
                settings,
                cohort=str(_written(chosen, settings.cache / "people" / f"{settings.cohort_name}-{people}")),
                methods=(method,),
                output=settings.output / f"people-{people}",
            ),
            progress=progress,
        ).whole()
        for people, chosen in fewer.items()
    }


def _written(cohort: Cohort, folder: Path) -> Path:
    """Write the table, and beside it the recipe that the scans were prepared by."""
    folder.mkdir(parents=True, exist_ok=True)
    if cohort.recipe:
        write_json(cohort.recipe, folder / "recipe.json")
    cohort.write(folder / "cohort.csv")
    return folder / "cohort.csv"
