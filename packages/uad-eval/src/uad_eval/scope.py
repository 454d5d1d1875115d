"""Which voxels a figure speaks of; written into every row, since it moves a Dice by more than many methods do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.empty_cases import LESION, empty_cases


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The voxels that are counted.

    Parameters
    ----------
    brain_only : bool
        Count only voxels of the brain mask; otherwise every voxel of the arrays, background too (which makes AUROC
        and specificity look better than they are).
    slices : str
        Which slices the arrays hold, in words or as the rule that chose them, such as ``"fraction:0.25"``. The
        arrays hold these slices already; this only names them.
    empty_cases : str
        Rule for scans without a lesion or with an empty mask, one of :data:`uad_eval.empty_cases.EMPTY_CASES`.

    Raises
    ------
    InputError
        The rule is unknown.
    """

    brain_only: bool = True
    slices: str = "all"
    empty_cases: str = LESION

    def __post_init__(self) -> None:
        empty_cases(self.empty_cases)

    def __str__(self) -> str:
        rule = "" if self.empty_cases == LESION else f", empty cases as {self.empty_cases}"
        return f"{'brain' if self.brain_only else 'all'} voxels, slices {self.slices}{rule}"

    def select(self, brain: ArrayLike) -> NDArray:
        """Mark the voxels that count.

        Parameters
        ----------
        brain : array_like of bool, shape (n, *spatial)

        Returns
        -------
        ndarray of bool, same shape
        """
        inside = np.asarray(brain) != 0
        return inside if self.brain_only else np.ones_like(inside)
