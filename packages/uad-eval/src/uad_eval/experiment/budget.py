"""The same budget of training for every method: steps, or minutes."""

import math
from dataclasses import dataclass
from typing import Any, Self

from uad_eval.errors import InputError

_UNITS = ("steps", "minutes")


@dataclass(frozen=True)
class Budget:
    """How long each training may last.

    Parameters
    ----------
    unit : {"steps", "minutes"}
        What is counted.
    amount : float
        Above 0; of steps a whole number. Over all stages of a method together.
    """

    unit: str
    amount: float

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``steps:500`` or ``minutes:2``.

        Parameters
        ----------
        text : str
            Empty for no common budget.

        Returns
        -------
        Budget or None
            None where there is no common budget.

        Raises
        ------
        InputError
            The text is not of that form.
        """
        if not text:
            return None
        unit, _, number = text.partition(":")
        try:
            amount = float(int(number)) if unit == "steps" else float(number)
        except ValueError:
            amount = math.nan
        if unit not in _UNITS or not 0 < amount < math.inf:
            raise InputError(f"budget: expected 'steps:500', 'minutes:2' or nothing, found {text!r}")
        return cls(unit, amount)

    def train(self, stages: int) -> dict[str, Any]:
        """Give the settings of a training that keep it within the budget.

        Parameters
        ----------
        stages : int
            Of the method, which share the budget equally; where steps do not divide, the rest is not taken.

        Returns
        -------
        dict
            Fields of ``uad_models.TrainConfig``.

        Raises
        ------
        InputError
            There are fewer steps than stages.
        """
        if self.unit == "minutes":
            return {"minutes": self.amount}
        if self.amount < stages:
            raise InputError(f"budget: expected at least {stages} steps for {stages} stages, found {self.amount:g}")
        return {"steps": int(self.amount) // stages, "minutes": 0.0}
