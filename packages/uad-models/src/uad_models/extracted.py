"""Batches of what a method makes of images once, for a stage that would make the same of them again each time.

Images that are augmented or cut into patches are different ones each time: nothing can be made of them once.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from uad_models.feeding import Batch, Feeder, batch_rows
from uad_models.train_config import TrainConfig


class Extracted:
    """What was made of a feeder's rows, in the batches that the feeder would give.

    Parameters
    ----------
    feeder
        Of the images, whole and not augmented. They are gone through once, by every rank, in its order; so a run that
        resumes makes the same of them.
    extract
        See `Method.extract`.
    """

    def __init__(self, feeder: Feeder, extract: Callable[[Batch], Batch]) -> None:
        self.feeder, self.rows = feeder, feeder.rows
        share = max(feeder.batch_size // feeder.world, 1)
        images = Feeder(feeder.store, feeder.rows, batch_size=share, device=feeder.device, covariates=feeder.covariates)
        parts = [extract(batch) for batch in images.sweep()]
        self.tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def batch(self, index: int) -> Batch:
        """Return this rank's share of a training batch; see `Feeder.batch`."""
        feeder = self.feeder
        picked = batch_rows(len(self.rows), feeder.batch_size, index, seed=feeder.seed)[feeder.rank :: feeder.world]
        return self._of(picked[np.argsort(self.rows[picked], kind="stable")])

    def sweep(self) -> Iterator[Batch]:
        """Yield this rank's share of all rows; see `Feeder.sweep`."""
        feeder = self.feeder
        own = np.arange(len(self.rows))[feeder.rank :: feeder.world]
        share = max(feeder.batch_size // feeder.world, 1)
        for start in range(0, len(own), share):
            yield self._of(own[start : start + share])

    def close(self) -> None:
        """End the feeder's workers; it has none."""
        self.feeder.close()

    def _of(self, places: np.ndarray) -> Batch:
        """Return what was made of some rows, by their place among them."""
        where = torch.from_numpy(places).to(self.feeder.device)
        return {name: tensor[where] for name, tensor in self.tensors.items()}


def pays(config: TrainConfig, rows: int) -> bool:
    """Tell whether every row can be extracted once, and a stage reads at least as many.

    Parameters
    ----------
    config
        How the stage is trained. One by the clock is taken to read them all.
    rows
        How many there are.

    Returns
    -------
    bool
        Whether to extract.
    """
    once = config.augmentation == "none" and not config.patch
    return once and (config.minutes > 0 or config.steps * config.accumulate * config.batch_size >= rows)
