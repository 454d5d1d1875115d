"""The split of an experiment: the cohort's own, or people dealt into folds; and what each voxel measures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uad_data import ArrayStore, Cohort
from uad_data.readers import read_affine
from uad_data.split import fold_by_subject
from uad_eval.experiment.json_file import read_json

_SEED = 0  # of the deal; the same people meet in every experiment on a cohort


@dataclass(frozen=True)
class Fold:
    """One training of a cell, and where its files are.

    Parameters
    ----------
    number : int
        From 1; 0 for the cohort's own split.
    folder : Path
        ``run/`` (the run folder); ``val_scores.npy``, ``test_scores.npy``, ``test_samples.npy`` and
        ``reconstruction.npy`` (in the order of ``store.rows`` of the fold's own store); what
        `uad_eval.experiment.kept_maps` keeps; and ``fold.json``, which is written last.
    """

    number: int
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it was trained, and its scans predicted, to the end."""
        return (self.folder / "fold.json").is_file()

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.folder / "run"

    def facts(self) -> dict[str, Any]:
        """Read config, parameters, thresholds, seconds and memory of a finished fold."""
        return read_json(self.folder / "fold.json")


def fold_stores(store: ArrayStore, *, folds: int, validation_share: float) -> tuple[ArrayStore, ...]:
    """Give the prepared cohort once per fold, each with the fold's split; no array is copied.

    Parameters
    ----------
    store : ArrayStore
        The prepared cohort.
    folds : int
        0 for the cohort's own split; otherwise each person is tested in one of so many folds.
    validation_share : float
        Of the people outside the test fold.

    Returns
    -------
    tuple of ArrayStore
        One per fold, or the store itself.

    Raises
    ------
    InputError
        The people cannot be dealt so.
    """
    if not folds:
        return (store,)
    dealt = fold_by_subject(store.index, folds=folds, validation=validation_share, seed=_SEED)
    return tuple(store.with_split(split) for split in dealt)


def with_voxel_ml(store: ArrayStore, cohort: Cohort) -> ArrayStore:
    """Add the column ``voxel_ml`` to the index: what a voxel, or a pixel of a slice, measures.

    Parameters
    ----------
    store : ArrayStore
        The prepared cohort.
    cohort : Cohort
        The scans that it was prepared from, in the same order.

    Returns
    -------
    ArrayStore
        A view. A pixel counts for its area times the distance of the scan's slices, which is read from the first
        sequence's header; pictures have none and count as 1 mm.
    """
    edge = store.index["pixel_mm"].to_numpy()
    depth = edge
    if len(store.spec.size) == 2:
        column = f"image_{store.spec.modalities[0]}"
        scans, whose = np.unique(store.index["scan"], return_inverse=True)
        depth = np.array([np.linalg.norm(read_affine(cohort.source(scan, column))[:3, 2]) for scan in scans])[whose]
    return replace(store, index=store.index.assign(voxel_ml=edge**2 * depth / 1000))
