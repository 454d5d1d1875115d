"""False positives as a volume: the ml that are marked in a scan without a lesion.

A clinic does not ask for a share of voxels but how much a healthy scan gets marked, after all post-processing. Where
items are slices, a scan's volume is that of its lesion-free slices at hand.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import DRAWS, ratio_draws, subject_weights
from uad_eval.errors import InputError
from uad_eval.figures import Figure, tabulate
from uad_eval.ranking import ratio
from uad_eval.results import Evaluation, RunKey, single_figures


def marked_volumes(masks: ArrayLike, voxel_ml: ArrayLike, scans: ArrayLike) -> NDArray:
    """Add up the marked volume of each scan.

    Parameters
    ----------
    masks : array_like of bool, shape (n, *spatial)
        Slices or volumes without a lesion.
    voxel_ml : array_like of float, shape (n,)
        Volume of a voxel of each item in ml; of a slice, its pixel times the distance of slices.
    scans : array_like, shape (n,)
        Which scan each item is of.

    Returns
    -------
    ndarray of float64, shape (scans,)
        In ml, in the order of ``numpy.unique(scans)``; a scan with nothing marked counts as 0.

    Raises
    ------
    InputError
        Lengths differ.
    """
    masks, voxel_ml, scans = np.asanyarray(masks), np.asarray(voxel_ml, np.float64), np.asarray(scans)
    if not masks.shape[:1] == voxel_ml.shape == scans.shape:
        raise InputError(
            f"masks, voxel_ml and scans: expected one entry per item, found {masks.shape[:1]}, {voxel_ml.shape} and "
            f"{scans.shape}"
        )
    marked = np.count_nonzero(masks.reshape(len(masks), -1), axis=1) * voxel_ml
    names, whose = np.unique(scans, return_inverse=True)
    return np.bincount(whose, weights=marked, minlength=len(names))


def evaluate_false_positives(
    masks: Mapping[str, ArrayLike],
    voxel_ml: ArrayLike,
    scans: Sequence[object] | NDArray,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    false_positive_ml: float | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
) -> Evaluation:
    """Measure the volume that each protocol's threshold marks in held-out scans without a lesion.

    Parameters
    ----------
    masks : mapping of str to array_like of bool, shape (n, *spatial)
        Final masks by protocol, of items without a lesion.
    voxel_ml, scans
        As :func:`marked_volumes`.
    subjects : sequence of str, shape (n,)
        Bootstrap draws are of subjects.
    key : RunKey
    false_positive_ml : float, optional
        The volume that the ``healthy_volume`` threshold was chosen for, noted as a row of its own.
    draws, bootstrap_seed : int

    Returns
    -------
    Evaluation
        Metric ``false_positive_volume``, the mean over scans in ml, by protocol.

    Raises
    ------
    InputError
        Lengths differ.
    """
    subjects, scans = np.asarray(subjects).astype(str), np.asarray(scans).astype(str)
    if subjects.shape != scans.shape:
        raise InputError(f"subjects: expected {scans.shape}, one per item, found {subjects.shape}")
    names = np.unique(subjects)
    first = np.unique(scans, return_index=True)[1]
    whose = np.searchsorted(names, subjects[first])
    count = np.bincount(whose, minlength=len(names)).astype(np.float64)
    weights = subject_weights(len(names), draws=draws, seed=bootstrap_seed)
    figures = []
    for protocol, mask in masks.items():
        total = np.bincount(whose, weights=marked_volumes(mask, voxel_ml, scans), minlength=len(names))
        mean, drawn = float(ratio(total.sum(), count.sum())), ratio_draws(total, count, weights)
        figures.append(Figure("false_positive_volume", mean, drawn, protocol=protocol, unit="ml"))
    noted = {} if false_positive_ml is None else {"chosen_false_positive_volume": (false_positive_ml, "ml")}
    measured = tabulate(key, list(names), [""] * len(names), figures, weights)
    return Evaluation.concat([measured, single_figures(key, noted)])
