"""Batches of prepared images, read straight from the memory-mapped arrays.

Axes: ``n`` rows of the store, ``b`` batch, ``c`` channels, ``*s`` space.

Which rows a batch holds is a function of (seed, batch index) alone: the rows are shuffled anew for every epoch, the
shuffled epochs stand one behind the other, and batch ``k`` is the ``k``-th piece of that line. Training that resumes
at step ``k`` therefore needs no iterator state, and no rank of a distributed run needs to ask another.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from uad_data.arrays import ArrayStore

Batch = dict[str, Tensor]


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
        Fixes the order.
    rank, world
        This process and how many there are; each reads every ``world``-th row of a batch.
    device
        Where the batches go.
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
    ) -> None:
        self.store, self.rows, self.batch_size, self.seed = store, rows, batch_size, seed
        self.rank, self.world, self.device = rank, world, torch.device(device)

    def batch(self, index: int) -> Batch:
        """Return this rank's share of a training batch.

        Parameters
        ----------
        index
            Number of the batch, from 0, without end.

        Returns
        -------
        dict
            As `read_batch`.
        """
        picked = batch_rows(len(self.rows), self.batch_size, index, seed=self.seed)
        # Ascending, because a batch has no order and a disk has one.
        return read_batch(self.store, np.sort(self.rows[picked[self.rank :: self.world]]), device=self.device)

    def sweep(self) -> Iterator[Batch]:
        """Yield this rank's share of all rows, once, in the store's order.

        Yields
        ------
        dict
            As `read_batch`; the last one may be smaller.
        """
        own = self.rows[self.rank :: self.world]
        share = max(self.batch_size // self.world, 1)
        for start in range(0, len(own), share):
            yield read_batch(self.store, own[start : start + share], device=self.device)


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


def read_batch(store: ArrayStore, rows: np.ndarray, *, device: torch.device | str = "cpu") -> Batch:
    """Read rows of a store as tensors.

    Parameters
    ----------
    store
        The prepared arrays.
    rows
        ``(b,)`` int, in the order wanted.
    device
        Where the tensors go.

    Returns
    -------
    dict
        ``"image"`` ``(b, c, *s)`` float32, 0 outside the brain, and ``"brain"`` ``(b, 1, *s)`` bool.
    """
    # Widened by torch, on the device: ten times faster than by numpy, and half the bytes to move.
    image = torch.from_numpy(store.image[rows]).to(device).float()
    brain = torch.from_numpy(store.brain[rows]).to(device).unsqueeze(1)
    return {"image": image, "brain": brain}


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n)
