"""The grid: every method with every seed, on one prepared cohort."""

import sys
from dataclasses import dataclass

import pandas as pd

from uad_data import ArraySpec, ArrayStore, Cohort, build_arrays
from uad_eval.experiment.cell import Cell, make_cell, run_cell, typed_settings
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.results import Evaluation
from uad_models import method_class


@dataclass(frozen=True)
class Experiment:
    """A finished experiment: what every table and figure of a report is drawn from.

    Parameters
    ----------
    settings : ExperimentSettings
        As asked.
    cohort : Cohort
        The scans.
    store : ArrayStore
        The prepared arrays.
    cells : tuple of Cell
        One per method and seed.
    evaluation : Evaluation
        The tables of all cells together.
    """

    settings: ExperimentSettings
    cohort: Cohort
    store: ArrayStore
    cells: tuple[Cell, ...]
    evaluation: Evaluation

    def overview(self) -> pd.DataFrame:
        """Count people, slices and lesions per split.

        Returns
        -------
        DataFrame
            One row per split: people, people with a lesion, rows (slices or volumes), rows with a lesion, rows without
            annotation.
        """
        index = self.store.index.assign(
            lesion=self.store.index["lesion_voxels"] > 0, unknown=self.store.index["lesion_voxels"] < 0
        )
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

    def history(self) -> dict[str, pd.DataFrame]:
        """Collect the training curves.

        Returns
        -------
        dict of str to DataFrame
            The ``history.csv`` of each run that learned something, by method and seed.
        """
        trained = [cell for cell in self.cells if method_class(cell.spec.name).trained]
        return {f"{cell.spec}, seed {cell.seed}": pd.read_csv(cell.run / "history.csv") for cell in trained}

    def costs(self) -> pd.DataFrame:
        """Collect what each cell cost.

        Returns
        -------
        DataFrame
            One row per cell: method, seed, parameters, seconds of training and prediction, peak memory in MiB.
        """
        facts = [cell.facts() for cell in self.cells]
        return pd.DataFrame(
            [{"method": f["method"], "seed": f["seed"], "parameters": f["parameters"]} | f["measured"] for f in facts]
        )


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
    for spec in settings.methods:
        typed_settings(spec)  # a wrong name is told now, not when the methods before it are trained
    cohort = open_cohort(settings.cohort, cache=settings.cache, subjects=settings.subjects, workers=settings.workers)
    store = build_arrays(
        cohort.with_modalities(settings.modalities),
        ArraySpec(size=settings.size, modalities=settings.modalities, slices=settings.slices, scaling=settings.scaling),
        cache=settings.cache / "arrays",
        progress=progress and sys.stderr.isatty(),
        workers=settings.workers,
    )
    cells = tuple(
        make_cell(spec, seed, store, settings)
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
        evaluations.append(run_cell(cell, store, settings, progress=progress and sys.stderr.isatty()))
    evaluation = Evaluation.concat(evaluations)
    evaluation.write(settings.output)
    return Experiment(settings, cohort, store, cells, evaluation)
