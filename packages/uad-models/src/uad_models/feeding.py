"""Batches of prepared images, read straight from the memory-mapped arrays.

Axes: ``n`` rows of the store, ``b`` batch, ``c`` channels, ``*s`` space.

What a batch holds is a function of (seed, batch index) alone, its patches and its augmentation too. The rows are
shuffled anew for every epoch, the shuffled epochs stand one behind the other, and batch ``k`` is the ``k``-th piece of
that line. Training that resumes at step ``k`` therefore needs no iterator state, no rank of a distributed run needs to
ask another, and any number of worker processes makes the same bits.

Reading needs no help: 32 slices of 128 x 128 take 0.6 ms here and 3.6 ms when a worker process hands them over.
Augmenting them takes 50 ms, which workers hide behind a training step. They are processes and not threads because the
augmentation library draws from global random states (``benchmarks/measure_feeding.py``).
"""

import multiprocessing
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing.context import BaseContext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from uad_data.arrays import ArrayStore
from uad_data.augmentation import augment, check_installed
from uad_models.patches import check_patch, patch_corners

Batch = dict[str, Tensor]
COVARIATES = ("height",)  # what a store knows of an image beside the image: attributes of `ArrayStore`, one per row
Augmentation = Literal["none", "nnunet"]
_PATCH, _AUGMENTATION = 1, 2  # what a stream of random numbers is for


class Feeder:
    """Batches of some rows of a store, in a seeded order.

    Parameters
    ----------
    store
        The prepared arrays.
    rows
        ``(n,)`` int: which rows of the store, at least one.
    batch_size
        Rows in a batch, over all ranks.
    seed
        Fixes the order, the patches and the augmentation.
    rank, world
        This process and how many there are; each reads every ``world``-th row of a batch.
    device
        Where the batches go.
    augmentation
        ``"nnunet"`` augments training batches, see `uad_data.augmentation`; ``"none"`` does not.
    patch
        Sides of the random patches that training batches are made of; None for whole images.
    workers
        Processes that augment training batches ahead of time; 0 does it here. They end with `close`. Where nothing is
        augmented none are started.
    keep
        Training batches to remember, for callers that ask for the same ones again.
    labels
        Give the labels of lesions too, for methods that learn from them.
    covariates
        Which of `COVARIATES` to give too.

    Raises
    ------
    InputError
        The patch does not fit into the images.
    """

    def __init__(
        self,
        store: ArrayStore,
        rows: np.ndarray,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        augmentation: Augmentation = "none",
        patch: tuple[int, ...] | None = None,
        workers: int = 0,
        keep: int = 0,
        labels: bool = False,
        covariates: tuple[str, ...] = (),
    ) -> None:
        if patch:
            check_patch(patch, store.spec.size)
        if augmentation != "none":
            check_installed()
        self.store, self.rows, self.batch_size, self.seed = store, rows, batch_size, seed
        self.rank, self.world, self.device = rank, world, torch.device(device)
        self.augmentation, self.patch, self.keep, self.labels = augmentation, patch, keep, labels
        self.covariates = covariates
        self.workers = 0 if augmentation == "none" else workers
        self._kept: dict[int, Batch] = {}
        self._ahead: Any = None
        self._next = -1

    def batch(self, index: int) -> Batch:
        """Return this rank's share of a training batch.

        Parameters
        ----------
        index
            Number of the batch, from 0, without end. Workers expect them one after the other.

        Returns
        -------
        dict
            As `read_batch`; not to be changed when ``keep`` is set.
        """
        if index in self._kept:
            return self._kept[index]
        batch = _to_device(self._from_worker(index) if self.workers else self.make(index), self.device)
        if self.keep:
            self._kept[index] = batch
            for old in list(self._kept)[: -self.keep]:
                del self._kept[old]
        return batch

    def sweep(self) -> Iterator[Batch]:
        """Yield this rank's share of all rows, once, in the store's order, whole and not augmented.

        Yields
        ------
        dict
            As `read_batch`; the last one may be smaller.
        """
        own = self.rows[self.rank :: self.world]
        share = max(self.batch_size // self.world, 1)
        if self.patch:  # as many voxels at a time as in training, for the memory's sake
            share = max(share * int(np.prod(self.patch)) // int(np.prod(self.store.spec.size)), 1)
        for start in range(0, len(own), share):
            rows = own[start : start + share]
            batch = _read(self.store, rows, None, self.store.spec.size, self.labels, self.covariates)
            yield _to_device(batch, self.device)

    def make(self, index: int) -> Batch:
        """Make this rank's share of a training batch on the CPU, in the store's number format unless augmented.

        Parameters
        ----------
        index
            Number of the batch.

        Returns
        -------
        dict
            ``"image"`` ``(b, c, *s)`` and ``"brain"`` ``(b, 1, *s)`` bool; where asked for ``"lesion"`` ``(b, 1, *s)``
            uint8, 0 healthy, which moves with its image, and covariates ``(b,)``, as they are without augmentation.
        """
        picked = batch_rows(len(self.rows), self.batch_size, index, seed=self.seed)
        # Ascending, because a batch has no order and a disk has one.
        rows = np.sort(self.rows[picked[self.rank :: self.world]])
        place = (self.seed, index, self.rank)
        corners = patch_corners(self.store, rows, self.patch, seed=(*place, _PATCH)) if self.patch else None
        batch = _read(self.store, rows, corners, self.patch or self.store.spec.size, self.labels, self.covariates)
        if self.augmentation == "none":
            return batch
        stream = int(np.random.SeedSequence((*place, _AUGMENTATION)).generate_state(1, np.uint64)[0])
        generator = torch.Generator().manual_seed(stream)
        image, brain = batch["image"].float(), batch["brain"]
        if not self.labels:
            return batch | dict(zip(("image", "brain"), augment(image, brain, generator=generator), strict=True))
        moved = augment(image, brain, generator=generator, label=batch["lesion"])
        return batch | dict(zip(("image", "brain", "lesion"), moved, strict=True))

    def close(self) -> None:
        """End the workers. The next training batch starts new ones."""
        if self._ahead is not None:
            # What deleting it would do, but at once: an exception's traceback may hold it for long.
            self._ahead._shutdown_workers()
            self._ahead = None

    def _from_worker(self, index: int) -> Batch:
        """Take a batch from the workers, who are started when they are not at that place."""
        if self._ahead is None or index != self._next:
            self.close()
            self._ahead = _start_workers(_Batches(self), index, self.workers)
        self._next = index + 1
        try:
            return next(self._ahead)
        except BaseException:
            self.close()
            raise


class _Batches(Dataset[Batch]):
    """The training batches of a feeder, by their number; what travels to a worker."""

    def __init__(self, feeder: Feeder) -> None:
        same = ("batch_size", "seed", "rank", "world", "augmentation", "patch", "labels", "covariates")
        self.feeder = Feeder(feeder.store, feeder.rows, **{name: getattr(feeder, name) for name in same})

    def __getitem__(self, index: int) -> Batch:
        return self.feeder.make(index)


def _start_workers(batches: _Batches, first: int, workers: int) -> Any:
    """Start processes that make batches from the first on, in order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # more workers than cores
        loader: DataLoader = DataLoader(
            batches,
            batch_size=None,
            sampler=range(first, sys.maxsize),
            num_workers=workers,
            multiprocessing_context=_processes(),
            # Its own: with the global one, training with workers would draw other numbers than without.
            generator=torch.Generator(),
        )
        return iter(loader)


def _processes() -> BaseContext:
    """Return a way to start workers that copies nothing of this process: its threads and its GPU do not survive that.

    A fork server imports what workers need once; where there is none, on Windows, every worker does.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def batch_rows(n: int, batch_size: int, index: int, *, seed: int) -> np.ndarray:
    """Return which of ``n`` items a training batch holds.

    Parameters
    ----------
    n
        How many items there are.
    batch_size
        Items in a batch. A batch may hold the end of one epoch and the start of the next.
    index
        Number of the batch, from 0.
    seed
        Fixes the order.

    Returns
    -------
    ndarray
        ``(batch_size,)`` int in ``[0, n)``.
    """
    places = np.arange(index * batch_size, (index + 1) * batch_size)
    epochs, within = np.divmod(places, n)
    picked = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        picked[here] = _permutation(n, seed, int(epoch))[within[here]]
    return picked


def read_batch(
    store: ArrayStore,
    rows: np.ndarray,
    *,
    device: torch.device | str = "cpu",
    covariates: tuple[str, ...] = (),
) -> Batch:
    """Read rows of a store as tensors.

    Parameters
    ----------
    store
        The prepared arrays.
    rows
        ``(b,)`` int, in the order wanted.
    device
        Where the tensors go.
    covariates
        Which of `COVARIATES` to read too.

    Returns
    -------
    dict
        ``"image"`` ``(b, c, *s)`` float32, 0 outside the brain, ``"brain"`` ``(b, 1, *s)`` bool, and covariates
        ``(b,)`` float32.
    """
    return _to_device(_read(store, rows, None, store.spec.size, covariates=covariates), torch.device(device))


def _read(
    store: ArrayStore,
    rows: np.ndarray,
    corners: np.ndarray | None,
    size: tuple[int, ...],
    labels: bool = False,
    covariates: tuple[str, ...] = (),
) -> Batch:
    """Read rows of a store, whole or patches of them, as they are stored."""
    arrays = {"image": store.image, "brain": store.brain[:, None]} | (
        {"lesion": store.lesion[:, None]} if labels else {}
    )
    told = {name: torch.from_numpy(getattr(store, name)[rows]) for name in covariates}
    if corners is None:
        return {name: torch.from_numpy(array.take(rows, axis=0)) for name, array in arrays.items()} | told
    batch = {name: np.empty((len(rows), array.shape[1], *size), array.dtype) for name, array in arrays.items()}
    for item, (row, corner) in enumerate(zip(rows, corners, strict=True)):
        where = tuple(slice(low, low + side) for low, side in zip(corner, size, strict=True))
        for name, array in arrays.items():
            batch[name][item] = array[(row, slice(None), *where)]
    return {name: torch.from_numpy(array) for name, array in batch.items()} | told


def _to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch and widen its images there: faster than by numpy, and half the bytes to move."""
    moved = {name: tensor.to(device) for name, tensor in batch.items()}
    return moved | {"image": moved["image"].float()}


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n)
