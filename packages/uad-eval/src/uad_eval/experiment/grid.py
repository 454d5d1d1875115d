"""The grid: every method with every seed, on one prepared cohort and its split or its folds."""

import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from uad_data import ArraySpec, ArrayStore, Cohort, build_arrays
from uad_eval.errors import InputError
from uad_eval.experiment.cell import TRACEBACK, Cell, FailedCell, make_cell, try_cell
from uad_eval.experiment.cell_job import CellJob, processes_for
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.folds import fold_stores, with_voxel_ml
from uad_eval.experiment.processes import run_each
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.experiment.training import resolved
from uad_eval.results import Evaluation, write_table
from uad_models import method_class

FAILED = "failed.csv"


@dataclass(frozen=True)
class Experiment:
    """A finished experiment: what every table and figure of a report is drawn from.

    Parameters
    ----------
    settings : ExperimentSettings
        As asked.
    cohort : Cohort
        The scans.
    stores : tuple of ArrayStore
        The prepared arrays, with the cohort's own split or once per fold.
    cells : tuple of Cell
        One per method and seed, of those that came to their end.
    evaluation : Evaluation
        The tables of all these cells together.
    failed : tuple of FailedCell
        The others.
    """

    settings: ExperimentSettings
    cohort: Cohort
    stores: tuple[ArrayStore, ...]
    cells: tuple[Cell, ...]
    evaluation: Evaluation
    failed: tuple[FailedCell, ...] = ()

    @property
    def store(self) -> ArrayStore:
        """The prepared arrays; of folds, the first."""
        return self.stores[0]

    @property
    def test_rows(self) -> np.ndarray:
        """Rows of the test people, ``(n,)`` int; of all folds, one behind the other."""
        return np.concatenate([store.rows("test") for store in self.stores])

    def whole(self) -> Self:
        """Give the experiment itself, for a study that can do without none of its cells.

        Returns
        -------
        Experiment
            This one.

        Raises
        ------
        InputError
            A cell failed.
        """
        if self.failed:
            raise InputError(_all_errors("cells failed", self.failed))
        return self

    def failures(self) -> dict[str, str]:
        """Name the cells that failed, for the end of a leaderboard.

        Returns
        -------
        dict of str to str
            Method and seed, to the error in one line.
        """
        return {_name(failed.cell): failed.error for failed in self.failed}

    def read_test(self, cell: Cell, name: str, positions: np.ndarray) -> np.ndarray:
        """Read what a cell left of some test rows.

        Parameters
        ----------
        cell : Cell
            One of the cells.
        name : {"test_scores", "test_samples", "reconstruction"}
            Which file of its folds.
        positions : ndarray of int, shape (n,)
            Places among `test_rows`.

        Returns
        -------
        ndarray
            ``(n, ...)`` in the order of the positions.
        """
        whose, first = self.fold_of(positions)
        return np.stack(
            [
                np.load(cell.folds[fold].folder / f"{name}.npy", mmap_mode="r")[position - start]
                for fold, start, position in zip(whose, first, positions, strict=True)
            ]
        )

    def fold_of(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the place of the fold that tests each of some rows, and where its own rows start among `test_rows`.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
            Places among `test_rows`.

        Returns
        -------
        fold, start : ndarray of int, shape (n,)
            Both from 0.
        """
        starts = np.cumsum([0] + [len(store.rows("test")) for store in self.stores])
        fold = np.searchsorted(starts, positions, side="right") - 1
        return fold, starts[fold]

    def overview(self) -> pd.DataFrame:
        """Count people, slices and lesions per split.

        Returns
        -------
        DataFrame
            One row per split, and per fold where there are several: people, people with a lesion, rows (slices or
            volumes), rows with a lesion, rows without annotation.
        """
        if len(self.stores) == 1:
            return _counts(self.store)
        return pd.concat({f"fold {fold}": _counts(store) for fold, store in enumerate(self.stores, start=1)})

    def history(self) -> dict[str, pd.DataFrame]:
        """Collect the training curves.

        Returns
        -------
        dict of str to DataFrame
            The ``history.csv`` of each run that learned something, by method, seed and fold.
        """
        trained = [cell for cell in self.cells if method_class(cell.spec.name).trained]
        return {
            f"{cell.spec}, seed {cell.seed}" + (f", fold {fold.number}" if fold.number else ""): pd.read_csv(
                fold.run / "history.csv"
            )
            for cell in trained
            for fold in cell.folds
        }

    def costs(self) -> pd.DataFrame:
        """Collect what each training cost.

        Returns
        -------
        DataFrame
            One row per cell and fold: method, seed, fold (where there are several), parameters, seconds of training
            and prediction, peak memory in MiB. Last, a row for each cell that failed, with its error in the column
            ``failed``, which is there only then.
        """
        rows = []
        for cell in self.cells:
            for fold in cell.folds:
                facts = fold.facts()
                row = {"method": str(cell.spec), "seed": cell.seed}
                row |= {"fold": fold.number} if fold.number else {}
                rows.append(
                    row | {"parameters": facts["parameters"]} | {n: v for n, (v, _) in facts["measured"].items()}
                )
        rows += [
            {"method": str(failed.cell.spec), "seed": failed.cell.seed, "failed": failed.error}
            for failed in self.failed
        ]
        return pd.DataFrame(rows)


def run_experiment(settings: ExperimentSettings, *, progress: bool = True) -> Experiment:
    """Run what has not been run and collect the tables.

    Cells that are done are read, a cell that was killed or failed resumes at its last checkpoint. A method that learns
    nothing runs once, under the first seed. A cell that fails, as for want of memory, does not stop the others; it is
    left out of the tables.

    Parameters
    ----------
    settings : ExperimentSettings
        What to run.
    progress : bool
        Say which cell is at work; show progress bars on a terminal.

    Returns
    -------
    Experiment
        Its tables are also in ``<output>/results.csv`` and ``*.parquet``, cells that failed in ``failed.csv``.

    Raises
    ------
    InputError
        A cohort, method, parameter, pipeline or scheduler that does not exist, or scans that cannot be used, before
        anything is trained; or every cell failed.
    """
    if settings.scheduler:  # workers stand in folders of their own
        settings = replace(settings, output=settings.output.absolute(), cache=settings.cache.absolute())
    images = ArraySpec(
        size=settings.size, modalities=settings.modalities, slices=settings.slices, scaling=settings.scaling
    )
    steps, members = {}, {}
    for spec in settings.methods:  # what is wrong is told now, not when the methods before it are trained
        method, train = resolved(spec, images, settings, seed=min(settings.seeds))
        steps[str(spec)] = len(method.stages) * train.steps if method.trained else 0
        members[str(spec)] = {method.origin(stage)[0].name for stage in method.stages} - {method.name}
    cohort = open_cohort(
        settings.cohort,
        cache=settings.cache,
        subjects=settings.subjects,
        workers=settings.workers,
        split=not settings.folds,
    ).with_modalities(settings.modalities)
    store = build_arrays(
        cohort,
        images,
        cache=settings.cache / "arrays",
        progress=progress and sys.stderr.isatty(),
        workers=settings.workers,
    )
    stores = fold_stores(with_voxel_ml(store, cohort), folds=settings.folds, validation_share=settings.validation_share)
    cells = tuple(
        make_cell(spec, seed, stores, settings)
        for spec in settings.methods
        for seed in (settings.seeds if method_class(spec.name).trained else settings.seeds[:1])
    )
    outcomes = _run(cells, stores, settings, steps=steps, members=members, progress=progress)
    failed = tuple(outcome for outcome in outcomes if isinstance(outcome, FailedCell))
    _write_failed(failed, settings.output)
    if len(failed) == len(cells):
        raise InputError(_all_errors("every cell failed", failed))
    evaluation = Evaluation.concat([outcome for outcome in outcomes if isinstance(outcome, Evaluation)])
    evaluation.write(settings.output)
    done = tuple(cell for cell, outcome in zip(cells, outcomes, strict=True) if isinstance(outcome, Evaluation))
    return Experiment(settings, cohort, stores, done, evaluation, failed)


def _work(job: CellJob) -> Evaluation | FailedCell:
    """Run a cell in another process."""
    return try_cell(job.cell, job.stores(), job.settings, progress=False)


def _run(
    cells: tuple[Cell, ...],
    stores: tuple[ArrayStore, ...],
    settings: ExperimentSettings,
    *,
    steps: dict[str, int],
    members: dict[str, set[str]],
    progress: bool,
) -> list[Evaluation | FailedCell]:
    """Run the cells, here or in other processes; give what came of each, in their order."""

    def say(number: int, text: str) -> None:
        if progress:
            print(f"[{number + 1}/{len(cells)}] {_name(cells[number])}{text}", flush=True)

    outcomes: dict[int, Evaluation | FailedCell] = {}
    processes = processes_for(settings)
    wanted = [members[str(cell.spec)] for cell in cells]
    if min(processes, len(cells)) == 1 and not settings.scheduler:
        for number in sorted(range(len(cells)), key=lambda number: bool(wanted[number])):
            cell = cells[number]
            say(number, ", done before" if cell.done else "")
            outcomes[number] = try_cell(cell, stores, settings, progress=progress and sys.stderr.isatty())
            if isinstance(last := outcomes[number], FailedCell):
                say(number, f" failed: {last.error}")
        return [outcomes[number] for number in range(len(cells))]
    # What an ensemble takes from other cells first, then the longest: begun last, they would be waited for alone.
    taken, names = set().union(*wanted), [cell.spec.name for cell in cells]
    order = sorted(range(len(cells)), key=lambda number: (names[number] not in taken, -steps[str(cells[number].spec)]))
    after = {
        place: [other for other, earlier in enumerate(order) if names[earlier] in wanted[number]]
        for place, number in enumerate(order)
    }
    jobs = [CellJob.of(cells[number], stores, settings) for number in order]
    for place, found in run_each(_work, jobs, after=after, processes=processes, scheduler=settings.scheduler):
        number = order[place]
        outcomes[number] = _failed(cells[number], found) if isinstance(found, Exception) else found
        say(number, f" failed: {last.error}" if isinstance(last := outcomes[number], FailedCell) else ", done")
    return [outcomes[number] for number in range(len(cells))]


def _failed(cell: Cell, error: Exception) -> FailedCell:
    """Say how a cell's process ended."""
    if isinstance(error, BrokenProcessPool):
        return FailedCell(cell, "its process was killed, most often for want of memory")
    return FailedCell.of(cell, error)


def _name(cell: Cell) -> str:
    """Name a cell in a message."""
    return f"{cell.spec}, seed {cell.seed}"


def _all_errors(what: str, failed: tuple[FailedCell, ...]) -> str:
    """Name cells and their errors in one line."""
    each = "; ".join(f"{_name(cell.cell)}: {cell.error}" for cell in failed)
    return f"{what}: {each}; see {TRACEBACK} in the folders of {failed[0].cell.folder.parent}, run again it resumes"


def _write_failed(failed: tuple[FailedCell, ...], output: Path) -> None:
    """List the cells that failed, or remove the list of an earlier run."""
    if not failed:
        (output / FAILED).unlink(missing_ok=True)
        return
    rows = [(str(f.cell.spec), f.cell.seed, f.error, str(f.cell.folder / TRACEBACK)) for f in failed]
    write_table(pd.DataFrame(rows, columns=["method", "seed", "error", "traceback"]), output / FAILED)


def _counts(store: ArrayStore) -> pd.DataFrame:
    """Count people and rows per split."""
    index = store.index.assign(lesion=store.index["lesion_voxels"] > 0, unknown=store.index["lesion_voxels"] < 0)
    splits = index.groupby("split", sort=False)
    counts = pd.DataFrame(
        {
            "people": splits["subject"].nunique(),
            "people with a lesion": index[index["lesion"]].groupby("split")["subject"].nunique(),
            "rows": splits.size(),
            "rows with a lesion": splits["lesion"].sum(),
            "rows without annotation": splits["unknown"].sum(),
        }
    )
    order = [name for name in ("train", "val", "test") if name in counts.index]
    return counts.fillna(0).astype(int).loc[order]
