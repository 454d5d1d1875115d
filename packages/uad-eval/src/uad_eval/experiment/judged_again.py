"""Every method of an experiment judged under other pipelines and other protocols, from maps that it kept.

The rows are those of `uad_eval.experiment.kept_maps`, so figures differ a little from those of all rows. A map is taken
as the method made it, as the residual of every pipeline. A protocol's threshold takes the place of the pipeline's own.
A pipeline that fits a mixture to each row, which takes longer than all others together, is given every third of them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.cell_job import CellJob, processes_for
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.kept_maps import VOXELS, kept_made_up, kept_maps, sampled, sampling_step
from uad_eval.experiment.processes import run_each
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.experiment.thresholds import best_dice_thresholds, label_free_thresholds
from uad_eval.metrics import dice
from uad_eval.protocols import MASK_PROTOCOLS, ORACLE
from uad_eval.rank_moves import LESION_ROWS_AP, MEAN_AP, POOLED_AP
from uad_eval.ranking import Ranking
from uad_eval.results import write_table
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import PIPELINES
from uad_postproc.steps import GaussianMixture, Residual, Threshold

_FORMAT, _THINNED = 1, 3


@dataclass(frozen=True)
class _Kept:
    """What a fold kept: maps, and of which rows."""

    val: NDArray
    val_rows: NDArray
    test: NDArray
    test_rows: NDArray
    made_up: tuple[NDArray, NDArray, NDArray]
    stands_for: int  # so many validation rows each

    def thinned(self, step: int) -> Self:
        """Keep every so many of the rows."""
        maps, brain, lesion = self.made_up
        made_up = maps[::step], brain[::step], lesion[::step]
        val, val_rows, test, test_rows = (
            array[::step] for array in (self.val, self.val_rows, self.test, self.test_rows)
        )
        return type(self)(val, val_rows, test, test_rows, made_up, step * self.stands_for)


def judge_again(experiment: Experiment, *, pipelines: Mapping[str, Pipeline] = PIPELINES) -> pd.DataFrame:
    """Judge every cell under every pipeline and protocol, several cells at once where the experiment runs so many.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    pipelines : mapping of str to Pipeline
        By name; all registered ones if not given. One that does nothing but cut at a threshold is called
        ``none (NAME)``.

    Returns
    -------
    pandas.DataFrame
        ``method, seed, pipeline, protocol, value``: of protocols ``pooled_ap``, ``mean_ap`` (over people with a lesion)
        and ``lesion_rows_ap`` (rows with a lesion only) the average precision, of the others the pooled Dice; NaN where
        a protocol has no threshold. Kept in the cells' folders and read from there the next time.
    """
    settings, paths = experiment.settings, [_path(cell, pipelines) for cell in experiment.cells]
    jobs = [
        (CellJob.of(cell, experiment.stores, settings), dict(pipelines))
        for cell, path in zip(experiment.cells, paths, strict=True)
        if not path.is_file()
    ]
    processes = processes_for(settings)
    if jobs and (min(processes, len(jobs)) > 1 or settings.scheduler):
        for _, found in run_each(_judge, jobs, processes=processes, scheduler=settings.scheduler):
            if isinstance(found, Exception):
                raise found
    else:
        for job in jobs:
            _judge(job)
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def judged_rows(experiment: Experiment) -> tuple[int, int]:
    """Say how many of the annotated test rows are judged again, and of how many."""
    counts = np.zeros(2, int)
    for store in experiment.stores:
        known = store.index["lesion_voxels"].to_numpy()[store.rows("test")] >= 0
        counts += known[sampled("test", len(known), store.spec.size)].sum(), known.sum()
    return int(counts[0]), int(counts[1])


def _path(cell: Cell, pipelines: Mapping[str, Pipeline]) -> Path:
    """Name the file that keeps what is said of a cell."""
    key = [_FORMAT, VOXELS, {name: steps.to_dict() for name, steps in pipelines.items()}]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    return cell.folder / f"judged-again-{digest}.csv"


def _judge(work: tuple[CellJob, dict[str, Pipeline]]) -> None:
    """Judge one cell and keep what is found."""
    job, pipelines = work
    cell, stores = job.cell, job.stores()
    kept = [_read(fold, store, job.settings) for fold, store in zip(cell.folds, stores, strict=True)]
    rows = []
    for name, steps in pipelines.items():
        plain = all(isinstance(step, Residual | Threshold) for step in steps.steps)
        common = {"method": str(cell.spec), "seed": cell.seed, "pipeline": f"none ({name})" if plain else name}
        slow = any(isinstance(step, GaussianMixture) for step in steps.steps)
        figures = _figures([fold.thinned(_THINNED) for fold in kept] if slow else kept, stores, job.settings, steps)
        rows += [common | {"protocol": protocol, "value": value} for protocol, value in figures.items()]
    write_table(pd.DataFrame(rows), _path(cell, pipelines))


def _read(fold: Fold, store: ArrayStore, settings: ExperimentSettings) -> _Kept:
    """Read a fold's maps, of annotated rows."""

    def read(split: str) -> tuple[NDArray, NDArray]:
        rows = store.rows(split)
        rows = rows[sampled(split, len(rows), store.spec.size)]
        known = store.index["lesion_voxels"].to_numpy()[rows] >= 0
        return kept_maps(fold, split, store, accelerator=settings.accelerator)[known], rows[known]

    made_up = kept_made_up(fold, store, accelerator=settings.accelerator)
    return _Kept(*read("val"), *read("test"), made_up, sampling_step("val", len(store.rows("val")), store.spec.size))


def _figures(
    kept: list[_Kept], stores: Sequence[ArrayStore], settings: ExperimentSettings, steps: Pipeline
) -> dict[str, float]:
    """Give the figures of one pipeline by protocol, the test people of all folds in one pot."""
    rows = np.concatenate([fold.test_rows for fold in kept])
    store = stores[0]  # the arrays are the same in all
    brain, index = store.brain[rows], store.index.iloc[rows]
    truth = (store.lesion[rows] > 0) & brain
    subjects, with_lesion = index["subject"].to_numpy(), truth.reshape(len(truth), -1).any(axis=1)
    scores = [steps.score(fold.test, Context(store.brain[fold.test_rows])) for fold in kept]
    masks = _masks(kept, scores, stores, settings, steps)
    pot = np.concatenate(scores)

    def ranking(chosen: NDArray) -> Ranking:
        inside = brain[chosen]
        return Ranking.of(pot[chosen][inside], truth[chosen][inside])

    everything = ranking(np.arange(len(rows)))
    each = [ranking(subjects == subject).average_precision() for subject in np.unique(subjects[with_lesion])]
    return {
        POOLED_AP: everything.average_precision(),
        MEAN_AP: float(np.mean(each)) if each else float("nan"),
        LESION_ROWS_AP: ranking(with_lesion).average_precision(),
        **{name: dice(masks[name], truth) if name in masks else float("nan") for name in MASK_PROTOCOLS},
        ORACLE: everything.best_dice()[0],
    }


def _masks(
    kept: list[_Kept],
    scores: list[NDArray],
    stores: Sequence[ArrayStore],
    settings: ExperimentSettings,
    steps: Pipeline,
) -> dict[str, NDArray]:
    """Cut each fold's test scores at the thresholds of its own validation people."""
    found = []
    for fold, test, store in zip(kept, scores, stores, strict=True):
        context = Context(store.brain[fold.test_rows])
        fitted = _thresholds(fold, store, settings, steps)
        found.append(
            {name: steps.with_threshold(value).mask_from_scores(test, context) for name, value in fitted.items()}
        )
    return {name: np.concatenate([own[name] for own in found]) for name in found[0] if all(name in o for o in found)}


def _thresholds(fold: _Kept, store: ArrayStore, settings: ExperimentSettings, steps: Pipeline) -> dict[str, float]:
    """Fit the thresholds of every protocol; a row that was kept stands for all those that it was taken from."""
    rows, brain = fold.val_rows, store.brain[fold.val_rows]
    scores = steps.score(fold.val, Context(brain))
    maps, made_brain, made_lesion = fold.made_up
    made = None
    if len(maps):
        made = steps.score(maps, Context(made_brain))[made_brain], made_lesion[made_brain]
    found = best_dice_thresholds((scores[brain], store.lesion[rows][brain] > 0), made)
    healthy = store.index["lesion_voxels"].to_numpy()[rows] == 0
    if not healthy.any():
        return found
    larger = replace(store, index=store.index.assign(voxel_ml=fold.stands_for * store.index["voxel_ml"]))
    return found | label_free_thresholds(scores[healthy], larger, rows[healthy], steps=steps, settings=settings)
