"""Dice of several classes, patient by patient: how segmentations into parts of a tumour are scored.

Source: Holzschuh et al., "Combining anomaly detection and supervised learning for medical image segmentation", MIDL
2023: Dice per patient over the whole scan, its mean over patients for each class, and the mean of these over the
classes without the background.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import DRAWS, interval, mask_draws, ratio_draws, subject_weights
from uad_eval.errors import InputError
from uad_eval.figures import Figure, tabulate
from uad_eval.metrics import Counts, counted_dice, counts
from uad_eval.results import MEAN, Evaluation, RunKey, table

#: The mean over classes; each class stands beside it as ``class_dice_<name>``.
CLASS_DICE = "class_dice"


def evaluate_class_dice(
    predicted: ArrayLike,
    truth: ArrayLike,
    brain: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    classes: Sequence[str],
    pathologies: Sequence[str] | NDArray | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
) -> Evaluation:
    """Score a segmentation into classes.

    Parameters
    ----------
    predicted, truth : array_like of int, shape (n, *spatial)
        0 is background, ``i`` the ``i``-th of ``classes``; slices or volumes.
    brain : array_like of bool, shape (n, *spatial)
        What is counted.
    subjects : sequence of str, shape (n,)
        All items of one patient are counted together.
    key : RunKey
        Stands in every row.
    classes : sequence of str
        Names without the background.
    pathologies : sequence of str, shape (n,), optional
        One per subject.
    draws, bootstrap_seed : int
        As in :func:`uad_eval.evaluate`.

    Returns
    -------
    Evaluation
        Metrics ``class_dice_<name>``, per subject, as mean over subjects and pooled; and ``class_dice``, the mean over
        classes of the means over subjects. A patient without a class is left out of that class's mean, since Dice then
        says only whether some voxel was marked; a class that no patient has is left out of the mean over classes.

    Raises
    ------
    InputError
        Shapes differ, or there is no class.
    """
    predicted, truth, brain = np.asanyarray(predicted), np.asanyarray(truth), np.asanyarray(brain, bool)
    if not predicted.shape == truth.shape == brain.shape or not classes:
        raise InputError(
            f"class Dice: expected one shape and a class, found {predicted.shape}, {truth.shape}, {brain.shape}, "
            f"{len(classes)} classes"
        )
    whose = np.asarray(subjects).astype(str)
    names, first = np.unique(whose, return_index=True)
    ills = [""] * len(names) if pathologies is None else [str(pathologies[place]) for place in first]
    weights = subject_weights(len(names), draws=draws, seed=bootstrap_seed)
    figures, means, drawn = [], [], []
    for number, name in enumerate(classes, start=1):
        each = Counts(*np.array([_count(number, whose == n, predicted, truth, brain) for n in names], float).T)
        had = np.asarray(each.tp) + each.fn > 0
        dice = np.where(had, counted_dice(each), np.nan)
        pooled = Counts(*(float(np.sum(count)) for count in each))
        figures.append(
            Figure(f"{CLASS_DICE}_{name}", float(counted_dice(pooled)), mask_draws(each, weights)["dice"], dice)
        )
        if had.any():
            means.append(float(np.nanmean(dice)))
            drawn.append(ratio_draws(dice, np.ones(len(names)), weights))
    return Evaluation.concat(
        [tabulate(key, list(names), ills, figures, weights), _over_classes(key, means, drawn, len(names))]
    )


def _count(number: int, items: NDArray, predicted: NDArray, truth: NDArray, brain: NDArray) -> Counts:
    """Count one class over all items of a subject."""
    inside = brain[items]
    return counts(predicted[items][inside] == number, truth[items][inside] == number)


def _over_classes(key: RunKey, means: Sequence[float], drawn: Sequence[NDArray], subjects: int) -> Evaluation:
    """Mean over classes, and its interval; a draw that lacks a class is the mean of the others."""
    if not means:
        return Evaluation.of()
    defined = np.isfinite(drawn)
    total = np.where(defined, drawn, 0.0).sum(axis=0)
    draws = total / np.where(defined.any(axis=0), defined.sum(axis=0), np.nan)
    low, high = interval(draws, subjects=subjects)
    common = key.columns() | {"metric": CLASS_DICE, "aggregation": MEAN}
    row = common | {"subject": MEAN, "value": float(np.mean(means)), "low": low, "high": high, "unit": "fraction"}
    return Evaluation.of(results=table("results", [row]), draws=table("draws", [common | {"draws": draws}]))
