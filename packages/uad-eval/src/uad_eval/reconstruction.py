"""How well a method redraws scans: the mean absolute error over their brain voxels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import DRAWS, ratio_draws, subject_weights
from uad_eval.errors import InputError
from uad_eval.figures import Figure, tabulate
from uad_eval.metrics import absolute_error
from uad_eval.results import Evaluation, RunKey


def evaluate_reconstruction(
    images: ArrayLike,
    reconstructions: ArrayLike,
    brain: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    metric: str = "healthy_mae",
    pathologies: Sequence[str] | NDArray | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
) -> Evaluation:
    """Measure the error of reconstruction: unless told otherwise, of healthy items.

    Parameters
    ----------
    images, reconstructions : array_like, shape (n, c, *spatial) or (n, *spatial)
        May be memory-mapped: one subject is read at a time.
    brain : array_like of bool, shape (n, *spatial)
    subjects : sequence of str, shape (n,)
    key : RunKey
    metric : str
        ``"healthy_mae"`` where all items are lesion-free, else another name, such as ``"mae"``.
    pathologies : sequence of str, shape (n,), optional
        One per subject; ``"healthy"`` when not given.
    draws, bootstrap_seed : int
        Bootstrap draws of subjects, and their seed.

    Returns
    -------
    Evaluation
        The metric, in the scale of the images, over the brain's voxels whatever the scope.

    Raises
    ------
    InputError
        Shapes or lengths differ, or there is no item.
    """
    images, reconstructions, brain = np.asanyarray(images), np.asanyarray(reconstructions), np.asanyarray(brain)
    subjects = np.asarray(subjects).astype(str)
    if not len(subjects) or subjects.shape != images.shape[:1]:
        raise InputError(f"subjects: expected {images.shape[0]} names, one per image, found {subjects.shape}")
    names = np.unique(subjects)
    rows = [np.flatnonzero(subjects == name) for name in names]
    totals, sizes = np.array([absolute_error(images[r], reconstructions[r], brain[r]) for r in rows]).T
    weights = subject_weights(len(names), draws=draws, seed=bootstrap_seed)
    ones = np.ones(len(names))
    each = ratio_draws(totals, sizes, np.eye(len(names)))
    pooled = float(ratio_draws(totals, sizes, ones))
    figure = Figure(metric, pooled, ratio_draws(totals, sizes, weights), each, unit="image intensity")
    kinds = ["healthy"] * len(names) if pathologies is None else [str(pathologies[r[0]]) for r in rows]
    return tabulate(key, list(names), kinds, [figure], weights)
