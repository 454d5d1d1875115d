"""One cell of the grid: a method and a seed, from training to rows of the result tables."""

import hashlib
import json
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from uad_data import ArrayStore
from uad_data.atomic import atomic_path
from uad_eval.experiment.cell_key import cell_key
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.json_file import read_json, write_json
from uad_eval.experiment.judge import judge
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.training import run_fold
from uad_eval.results import Evaluation, RunKey
from uad_eval.scope import Scope

TRACEBACK = "traceback.txt"


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


@dataclass(frozen=True)
class FailedCell:
    """A cell that was not computed to its end.

    Parameters
    ----------
    cell : Cell
        Which; run again, it resumes.
    error : str
        In one line. Where it was raised stands in ``traceback.txt`` in the cell's folder.
    """

    cell: Cell
    error: str

    @classmethod
    def of(cls, cell: Cell, error: BaseException) -> Self:
        """Take what was raised; an input error speaks for itself."""
        text = " ".join(str(error).split())
        kind = type(error).__name__
        return cls(cell, text if kind == "InputError" else f"{kind}: {text}" if text else kind)


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
    key = cell_key(spec, seed, tuple(stores), settings)
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


def try_cell(
    cell: Cell, stores: Sequence[ArrayStore], settings: ExperimentSettings, *, progress: bool = True
) -> Evaluation | FailedCell:
    """Run a cell as `run_cell` does; what it raises is an outcome too, but for an interrupt.

    Parameters
    ----------
    cell, stores, settings, progress
        As `run_cell`.

    Returns
    -------
    Evaluation or FailedCell
        Of a failed cell the maps and scores that would be made again are removed, as they may be what filled the disk.
    """
    report = cell.folder / TRACEBACK
    try:
        evaluation = run_cell(cell, stores, settings, progress=progress)
        report.unlink(missing_ok=True)
        return evaluation
    except Exception as error:  # one cell must not stop the rest, whatever a method makes of its images
        failed, lines = FailedCell.of(cell, error), traceback.format_exc()
    for fold in cell.folds:
        for left in () if fold.done else fold.folder.glob("*.npy"):
            left.unlink(missing_ok=True)
    with suppress(OSError):  # a disk can be as full as that
        cell.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(report) as unfinished:
            unfinished.write_text(lines, encoding="utf-8")
    return failed
