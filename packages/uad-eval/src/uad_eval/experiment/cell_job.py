"""A cell on its way to another process, and how many of them a machine has room for at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from uad_data import ArrayStore
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.settings import ExperimentSettings
from uad_models.devices import open_fabric

MOST_AT_ONCE = 3


@dataclass(frozen=True)
class CellJob:
    """What a process needs of a cell: of the arrays only their paths travel, so what voxels measure goes too.

    Parameters
    ----------
    cell : Cell
        Which.
    prepared : tuple of ArrayStore
        The prepared cohort, once per fold.
    voxel_ml : ndarray, shape (n,)
        Of all rows.
    settings : ExperimentSettings
        Of the experiment.
    """

    cell: Cell
    prepared: tuple[ArrayStore, ...]
    voxel_ml: np.ndarray
    settings: ExperimentSettings

    @classmethod
    def of(cls, cell: Cell, stores: Sequence[ArrayStore], settings: ExperimentSettings) -> Self:
        """Pack a cell and its stores, which have the column ``voxel_ml``."""
        return cls(cell, tuple(stores), stores[0].index["voxel_ml"].to_numpy(), settings)

    def stores(self) -> tuple[ArrayStore, ...]:
        """Give the stores as they were packed."""
        return tuple(replace(store, index=store.index.assign(voxel_ml=self.voxel_ml)) for store in self.prepared)


def processes_for(settings: ExperimentSettings) -> int:
    """Give the number of cells at work at once.

    Parameters
    ----------
    settings : ExperimentSettings
        Of the experiment; 0 processes are as many as there is room for: a cell takes up to 1.5 GiB, and a GPU is one
        cell's.

    Returns
    -------
    int
        At least 1.
    """
    if settings.processes:
        return settings.processes
    on_cpu = open_fabric(accelerator=settings.accelerator).device.type == "cpu"
    return min(torch.get_num_threads(), MOST_AT_ONCE) if on_cpu else 1
