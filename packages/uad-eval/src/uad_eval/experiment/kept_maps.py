"""Maps as a method made them, of some rows, kept so that other pipelines can judge them without another prediction.

Which rows: every k-th of a split, with the smallest k that leaves at most so many voxels as `VOXELS` says. Each of them
stands for k.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_data.atomic import atomic_path
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.made_up_lesions import held_out_mix, with_made_up_lesions
from uad_models import load_run, predict_rows

#: The most that is kept of test, validation, and validation with made-up lesions: 227 or 113 slices of 96 x 96.
VOXELS = {"test": 1 << 21, "val": 1 << 20, "made_up": 1 << 20}
_BRAIN, _LESION = 1, 2


def sampling_step(split: str, rows: int, size: tuple[int, ...]) -> int:
    """Give k, where every k-th of so many rows is kept.

    Parameters
    ----------
    split : {"test", "val", "made_up"}
        Of which rows.
    rows : int
        How many it has.
    size : tuple of int
        Of a row, ``(h, w)`` or ``(d, h, w)``.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, math.ceil(rows * math.prod(size) / VOXELS[split]))


def sampled(split: str, rows: int, size: tuple[int, ...]) -> NDArray:
    """Give the places of the rows that are kept, ``(n,)`` int; parameters as `sampling_step`."""
    return np.arange(0, rows, sampling_step(split, rows, size))


def keep_maps(fold: Fold, split: str, maps: NDArray) -> None:
    """Keep some of a split's maps.

    Parameters
    ----------
    fold : Fold
        Whose.
    split : {"test", "val", "made_up"}
        Of which rows.
    maps : ndarray, shape (n, *size)
        Of all the split's rows; may be memory-mapped.
    """
    _write(_maps_path(fold, split), maps[sampled(split, len(maps), maps.shape[1:])])


def keep_made_up(fold: Fold, maps: NDArray, made: ArrayStore) -> None:
    """Keep some of the maps of validation scans with made-up lesions.

    Parameters
    ----------
    fold : Fold
        Whose.
    maps : ndarray, shape (n, *size)
        Of all of them; may be memory-mapped.
    made : ArrayStore
        From `with_made_up_lesions`.
    """
    _write_truth(fold, made)
    keep_maps(fold, "made_up", maps)


def kept_maps(fold: Fold, split: str, store: ArrayStore, *, accelerator: str = "auto") -> NDArray:
    """Read what `keep_maps` kept; a fold of an earlier version, which kept none, predicts these rows again.

    Parameters
    ----------
    fold : Fold
        A finished one.
    split : {"val", "test"}
        Which people.
    store : ArrayStore
        The prepared cohort with the fold's split.
    accelerator : str
        Of the prediction.

    Returns
    -------
    ndarray, shape (n, *size), float32
        Maps of the rows that `sampled` gives.
    """
    path, rows = _maps_path(fold, split), store.rows(split)
    if not path.is_file():
        method, _ = load_run(fold.run)
        predict_rows(method, store, rows[sampled(split, len(rows), store.spec.size)], path, accelerator=accelerator)
    return np.load(path)


def kept_made_up(fold: Fold, store: ArrayStore, *, accelerator: str = "auto") -> tuple[NDArray, NDArray, NDArray]:
    """Read what `keep_made_up` kept; parameters as `kept_maps`.

    Returns
    -------
    maps : ndarray, shape (n, *size), float32
        None at all (n = 0) where no lesions can be made up for this method or sequence.
    brain, lesion : ndarray, shape (n, *size), bool
        Where the brain and the made-up lesions are.
    """
    path = _maps_path(fold, "made_up")
    if not path.is_file() and not _made_up_again(fold, store, accelerator):
        nothing = np.empty((0, *store.spec.size), bool)
        return nothing.astype(np.float32), nothing, nothing
    truth = np.load(_truth_path(fold))
    return np.load(path), truth > 0, truth == _LESION


def _made_up_again(fold: Fold, store: ArrayStore, accelerator: str) -> bool:
    """Make the lesions and the maps of a fold that kept none; False where there are none to make."""
    method, _ = load_run(fold.run)
    mix = held_out_mix(method, store.spec.modalities)
    if mix is None:
        return False
    made = with_made_up_lesions(store, store.healthy_rows("val"), mix=mix)
    _write_truth(fold, made)
    chosen = sampled("made_up", len(made), store.spec.size)
    predict_rows(method, made, chosen, _maps_path(fold, "made_up"), accelerator=accelerator)
    return True


def _write_truth(fold: Fold, made: ArrayStore) -> None:
    """Write where brain and made-up lesions are; before the maps, which stand for both."""
    chosen = sampled("made_up", len(made), made.spec.size)
    brain = made.brain[chosen]
    _write(_truth_path(fold), np.where(brain & (made.lesion[chosen] > 0), _LESION, brain * _BRAIN).astype(np.uint8))


def _maps_path(fold: Fold, split: str) -> Path:
    return fold.folder / f"{split}_kept.npy"


def _truth_path(fold: Fold) -> Path:
    return fold.folder / "made_up_truth.npy"


def _write(path: Path, array: NDArray) -> None:
    """Write an array at once or not at all."""
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array)
