"""Scores of test slices by every method of an experiment, `multitask`'s in parts; its head; Dice by slice."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from uad_eval.errors import InputError
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.judge import fitted_pipelines
from uad_eval.metrics import dice
from uad_eval.protocols import HEALTHY_VALIDATION
from uad_eval.results import RunKey
from uad_eval.sample_protocols import balance_curve, clinical_labels, pathology_figures, sample_figures
from uad_eval.scope import Scope
from uad_models import load_run
from uad_models.feeding import read_batch
from uad_models.methods.multitask import ROTATIONS, TRANSLATIONS, Multitask
from uad_postproc import Context

_BATCH = 32
#: Name of the score of a method that has one only.
OWN = "its own"
#: Names of the parts of multitask's score and of the whole.
RECONSTRUCTION, CLASSIFICATION, COMBINED = "reconstruction", "classification", "combined"


@dataclass(frozen=True)
class SliceStudy:
    """Scores of the annotated test slices of an experiment.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment on slices with the cohort's own split.
    slices : pandas.DataFrame
        A row per slice: the columns of the store's index, and ``lesion``, bool.
    scores : dict of int to dict of str to ndarray
        By place of the cell among the experiment's, then by name: ``(n,)``, higher for anomalous slices.
    """

    experiment: Experiment
    slices: pd.DataFrame
    scores: dict[int, dict[str, NDArray]]

    def figures(self) -> pd.DataFrame:
        """Measure every score under every protocol.

        Returns
        -------
        pandas.DataFrame
            As `uad_eval.sample_protocols.sample_figures`, for all cells.
        """
        people, scans = self.slices["subject"].to_numpy(), self.slices["scan"].to_numpy()
        settings = self.experiment.settings
        parts = []
        for place, scores in self.scores.items():
            cell = self.experiment.cells[place]
            key = RunKey(
                cohort=settings.cohort_name, method=str(cell.spec), seed=cell.seed, scope=Scope(slices=settings.slices)
            )
            parts.append(sample_figures(scores, self.slices["lesion"], people, key=key, scans=scans))
        return pd.concat(parts, ignore_index=True)

    def by_pathology(self) -> pd.DataFrame:
        """Measure each method's own or combined score by pathology.

        Returns
        -------
        pandas.DataFrame
            As `uad_eval.sample_protocols.pathology_figures`, with the columns ``method`` and ``seed``.
        """
        parts = []
        for place, scores in self.scores.items():
            cell = self.experiment.cells[place]
            whole = {name: score for name, score in scores.items() if name in (OWN, COMBINED)}
            found = pathology_figures(whole, self.slices["lesion"], self.slices["pathology"])
            parts.append(found.assign(method=str(cell.spec), seed=cell.seed))
        return pd.concat(parts, ignore_index=True)

    def balance(self) -> dict[str, pd.DataFrame]:
        """Follow the AUROC of the first multitask's combined score over λ.

        Returns
        -------
        dict of str to DataFrame
            Protocol ``"slice"`` and ``"clinical"`` to `uad_eval.sample_protocols.balance_curve`.

        Raises
        ------
        InputError
            No method of the experiment has a score in parts.
        """
        own = self.parts()
        lesion = self.slices["lesion"].to_numpy()
        labels = {"slice": lesion, "clinical": clinical_labels(lesion, self.slices["scan"].to_numpy())}
        return {name: balance_curve(own[CLASSIFICATION], own[RECONSTRUCTION], label) for name, label in labels.items()}

    def parts(self) -> dict[str, NDArray]:
        """Give the scores of the first multitask by name, each ``(n,)``.

        Raises
        ------
        InputError
            No method of the experiment has a score in parts.
        """
        found = next((scores for scores in self.scores.values() if COMBINED in scores), None)
        if found is None:
            raise InputError("scores in parts: expected multitask among the experiment's methods, found none")
        return found

    def dice(self) -> pd.DataFrame:
        """Measure Dice of the mask in every slice with a lesion, at the threshold of healthy validation.

        Returns
        -------
        pandas.DataFrame
            A row per cell: ``method, seed, slices, dice, dice_sd`` (over slices).
        """
        store, rows = self.experiment.store, []
        places = self.slices.loc[self.slices["lesion"], "place"].to_numpy()
        truths = store.lesion[store.rows("test")[places]] > 0
        kept = truths.any(axis=(1, 2))  # a few voxels may be lost by resampling
        brain = store.brain[store.rows("test")[places]]
        for cell in self.experiment.cells:
            steps = fitted_pipelines(cell.folds[0], self.experiment.settings)[HEALTHY_VALIDATION]
            masks = steps.mask_from_scores(self.experiment.read_test(cell, "test_scores", places), Context(brain))
            found = [dice(mask, truth) for mask, truth in zip(masks[kept], truths[kept], strict=True)]
            rows.append(
                {"method": str(cell.spec), "seed": cell.seed, "slices": len(found)}
                | {"dice": np.mean(found), "dice_sd": np.std(found, ddof=1)}
            )
        return pd.DataFrame(rows)


def slice_study(experiment: Experiment) -> SliceStudy:
    """Collect the scores of the annotated test slices; multitask's parts are computed once more.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment on slices with the cohort's own split.

    Returns
    -------
    SliceStudy
        The reconstruction's part is multiplied by α, so that the parts are on one scale.

    Raises
    ------
    InputError
        The experiment is on volumes or on folds.
    """
    store = experiment.store
    if len(store.spec.size) != 2 or len(experiment.stores) > 1:
        raise InputError(
            "protocols of slices: expected an experiment on slices (size 'h w') with the cohort's own split, found "
            f"size {store.spec.size} and {len(experiment.stores)} folds"
        )
    rows = store.rows("test")
    index = store.index.iloc[rows].assign(place=np.arange(len(rows)))
    index = index[index["lesion_voxels"] >= 0]
    places = index["place"].to_numpy()
    scores = {
        number: _parts(cell, experiment, rows[places])
        or {OWN: experiment.read_test(cell, "test_samples", places).astype(float)}
        for number, cell in enumerate(experiment.cells)
    }
    return SliceStudy(experiment, index.assign(lesion=index["lesion_voxels"] > 0).reset_index(drop=True), scores)


def head_accuracy(experiment: Experiment) -> pd.DataFrame:
    """Read how often multitask's head was right on healthy validation slices, at the validation that was kept.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.

    Returns
    -------
    pandas.DataFrame
        A row per training and task: ``method, seed, task, accuracy, chance``.
    """
    chance = {"rotation": 1 / ROTATIONS, "translation": 1 / TRANSLATIONS}
    rows = []
    for cell in experiment.cells:
        if cell.spec.name != Multitask.name:
            continue
        for fold in cell.folds:
            history = pd.read_csv(fold.run / "history.csv")
            last = history[history["stage"] == Multitask.stages[-1]]
            best = last.loc[last["val_loss"].idxmin()]
            rows += [
                {"method": str(cell.spec), "seed": cell.seed, "task": task}
                | {"accuracy": best[f"val_{task}_accuracy"], "chance": guess}
                for task, guess in chance.items()
            ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "accuracy", "chance"])


@torch.inference_mode()
def _parts(cell: Cell, experiment: Experiment, rows: NDArray) -> dict[str, NDArray]:
    """Compute the scores of a multitask by name; none of another method."""
    if cell.spec.name != Multitask.name:
        return {}
    method, _ = load_run(cell.folds[0].run)
    assert isinstance(method, Multitask)
    batches = np.array_split(rows, -(-len(rows) // _BATCH))
    found = [method.score_parts(read_batch(experiment.store, batch)["image"]) for batch in batches]
    pose, distance = (torch.cat(each).double().numpy() for each in zip(*found, strict=True))
    scaled, balance = float(method.alpha) * distance, method.config.balance
    combined = (1 - balance) * pose + balance * scaled
    return {RECONSTRUCTION: scaled, CLASSIFICATION: pose, COMBINED: combined}
