"""One cell of the grid: a method and a seed, from training to rows of the result tables."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from uad_data import ArrayStore
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.json_file import read_json, write_json
from uad_eval.experiment.judge import judge
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.training import run_fold
from uad_eval.results import Evaluation, RunKey
from uad_eval.scope import Scope
from uad_postproc.pipelines import pipeline

CELL_FORMAT = 2
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
        The tables of an `Evaluation`, and ``cell.json``, which is written last.
    folds : tuple of Fold
        Its trainings: one in the folder itself for the cohort's own split, else one per fold in a folder each.
    """

    spec: MethodSpec
    seed: int
    folder: Path
    folds: tuple[Fold, ...]

    @property
    def done(self) -> bool:
        """Whether the cell was computed to its end."""
        return (self.folder / "cell.json").is_file()

    def facts(self) -> dict[str, Any]:
        """Read method, seed, config and parameters of a finished cell."""
        return read_json(self.folder / "cell.json")


def make_cell(spec: MethodSpec, seed: int, stores: Sequence[ArrayStore], settings: ExperimentSettings) -> Cell:
    """Give a cell its folder: named for the method and seed, keyed by everything that decides its figures.

    Parameters
    ----------
    spec : MethodSpec
        The method.
    seed : int
        Of the training.
    stores : sequence of ArrayStore
        The prepared cohort, once per fold.
    settings : ExperimentSettings
        Of the experiment.

    Returns
    -------
    Cell
        Perhaps done already.
    """
    key = {
        "format": CELL_FORMAT,
        "arrays": [store.digest for store in stores],
        "cohort": settings.cohort_name,
        "method": str(spec),
        "seed": seed,
        "preset": settings.preset,
        "pipeline": pipeline(settings.pipeline).to_dict(),
        "false_positive_rate": settings.false_positive_rate,
        "false_positive_ml": settings.false_positive_ml,
        "versions": {name: version(name) for name in _PACKAGES},
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    # A spec can be longer than a file's name may be; the digest tells two of the same beginning apart.
    folder = settings.output / "cells" / f"{spec.slug[:80]}-seed{seed}-{digest}"
    if not settings.folds:
        return Cell(spec, seed, folder, (Fold(0, folder),))
    folds = tuple(Fold(number, folder / f"fold-{number}") for number in range(1, len(stores) + 1))
    return Cell(spec, seed, folder, folds)


def run_cell(
    cell: Cell, stores: Sequence[ArrayStore], settings: ExperimentSettings, *, progress: bool = True
) -> Evaluation:
    """Train, predict, post-process and judge; or read what an earlier run left.

    Parameters
    ----------
    cell : Cell
        From `make_cell`.
    stores : sequence of ArrayStore
        The prepared cohort, once per fold, with the column ``voxel_ml``.
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
    for fold, store in zip(cell.folds, stores, strict=True):
        run_fold(fold, cell.spec, cell.seed, store, settings, progress=progress)
    scope = Scope(slices=settings.slices)
    key = RunKey(cohort=settings.cohort_name, method=str(cell.spec), seed=cell.seed, scope=scope)
    evaluation = judge(cell.folds, stores, settings, key=key, method=cell.spec.name)
    evaluation.write(cell.folder)
    first = cell.folds[0].facts()
    facts = {"method": str(cell.spec), "seed": cell.seed, "config": first["config"], "parameters": first["parameters"]}
    write_json(facts, cell.folder / "cell.json")
    return evaluation
