"""The learning rate of schedule ``"plateau"``: torch's ReduceLROnPlateau, driven by validation losses."""

import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from uad_models.train_config import TrainConfig


class Plateau:
    """What is left of the learning rate after the plateaus so far.

    Parameters
    ----------
    config
        With ``plateau_factor`` and ``plateau_patience``.
    losses
        Validation losses of the stage so far, in order; a run that resumes gives those it had, which sets everything
        as it was.
    """

    def __init__(self, config: TrainConfig, losses: list[float]) -> None:
        # The scheduler wants an optimiser whose rate it lowers; this one has nothing to train.
        self._rate = SGD([torch.zeros(1)], lr=1.0)
        self._scheduler = ReduceLROnPlateau(
            self._rate, factor=config.plateau_factor, patience=config.plateau_patience, eps=0.0
        )
        for loss in losses:
            self.note(loss)

    @property
    def share(self) -> float:
        """Share of the learning rate that is left, above 0 and at most 1."""
        return float(self._rate.param_groups[0]["lr"])

    def note(self, loss: float) -> None:
        """Take a validation loss into account.

        Parameters
        ----------
        loss
            After more than ``plateau_patience`` in a row that are not lower than the best by a ten thousandth of it,
            the rate falls to ``plateau_factor`` of what it was.
        """
        self._scheduler.step(loss)
