"""The grid: every method with every seed, on one prepared cohort and its split or its folds."""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from uad_data import ArraySpec, ArrayStore, Cohort, build_arrays
from uad_eval.experiment.cell import Cell, make_cell, run_cell
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.folds import fold_stores, with_voxel_ml
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.experiment.training import typed_settings
from uad_eval.results import Evaluation
from uad_models import method_class
from uad_models.training import resolve


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
        One per method and seed.
    evaluation : Evaluation
        The tables of all cells together.
    """

    settings: ExperimentSettings
    cohort: Cohort
    stores: tuple[ArrayStore, ...]
    cells: tuple[Cell, ...]
    evaluation: Evaluation

    @property
    def store(self) -> ArrayStore:
        """The prepared arrays; of folds, the first."""
        return self.stores[0]

    @property
    def test_rows(self) -> np.ndarray:
        """Rows of the test people, ``(n,)`` int; of all folds, one behind the other."""
        return np.concatenate([store.rows("test") for store in self.stores])

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
            and prediction, peak memory in MiB.
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
        return pd.DataFrame(rows)


def run_experiment(settings: ExperimentSettings, *, progress: bool = True) -> Experiment:
    """Run what has not been run and collect the tables.

    Cells that are done are read, a cell that was killed resumes at its last checkpoint. A method that learns nothing
    runs once, under the first seed.

    Parameters
    ----------
    settings : ExperimentSettings
        What to run.
    progress : bool
        Say which cell is at work; show progress bars on a terminal.

    Returns
    -------
    Experiment
        Its tables are also in ``<output>/results.csv`` and ``*.parquet``.

    Raises
    ------
    InputError
        A cohort, method, parameter or pipeline that does not exist, or scans that cannot be used.
    """
    images = ArraySpec(
        size=settings.size, modalities=settings.modalities, slices=settings.slices, scaling=settings.scaling
    )
    for spec in settings.methods:  # what is wrong is told now, not when the methods before it are trained
        given = typed_settings(spec)
        resolve(spec.name, images, preset=settings.preset, config=given["config"], train=given["train"])
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
    evaluations = []
    for number, cell in enumerate(cells, start=1):
        if progress:
            print(
                f"[{number}/{len(cells)}] {cell.spec} seed {cell.seed}" + (", done before" if cell.done else ""),
                flush=True,
            )
        evaluations.append(run_cell(cell, stores, settings, progress=progress and sys.stderr.isatty()))
    evaluation = Evaluation.concat(evaluations)
    evaluation.write(settings.output)
    return Experiment(settings, cohort, stores, cells, evaluation)


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
