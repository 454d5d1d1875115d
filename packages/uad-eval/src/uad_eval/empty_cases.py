"""Named rules for scans where the truth, the mask or both are empty; they move a mean by more than many methods do.

==========  =======================  ====================  =======================  ==================================
rule        Dice, IoU, both empty    distances, both       distances, one empty     mean over
==========  =======================  ====================  =======================  ==================================
``lesion``  NaN                      NaN                   NaN                      subjects with a lesion
``nnunet``  NaN                      NaN                   NaN                      all subjects whose figure is defined
``brats``   1                        0                     374 mm                   all subjects
==========  =======================  ====================  =======================  ==================================

Under every rule Dice and IoU are 0 where just one of the two is empty. ``lesion`` is this package's own. ``nnunet`` is
that of nnU-Net's ``compute_metrics`` (v2; distances as its v1 with ``nan_for_nonexisting``): a false alarm in a healthy
scan is a 0 in the mean. ``brats`` is that of the BraTS 2023 metrics, whose 374 mm are about their diagonal.
The rule is part of the scope and so stands in every row; see :class:`uad_eval.scope.Scope`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError


@dataclass(frozen=True)
class EmptyCases:
    """What an empty mask or truth counts.

    Attributes
    ----------
    overlap : float
        Dice and IoU where both are empty.
    distance, distance_one : float
        Surface distances where both are empty, and where one is; mm.
    every_subject : bool
        Whether the mean is over all subjects rather than over those with a lesion.
    """

    overlap: float
    distance: float
    distance_one: float
    every_subject: bool


LESION, NNUNET, BRATS = "lesion", "nnunet", "brats"
EMPTY_CASES = {
    LESION: EmptyCases(float("nan"), float("nan"), float("nan"), every_subject=False),
    NNUNET: EmptyCases(float("nan"), float("nan"), float("nan"), every_subject=True),
    BRATS: EmptyCases(1.0, 0.0, 374.0, every_subject=True),
}


def empty_cases(name: str) -> EmptyCases:
    """Look a rule up; InputError for an unknown one."""
    if name not in EMPTY_CASES:
        raise InputError(f"empty cases: expected one of {', '.join(EMPTY_CASES)}, found {name!r}")
    return EMPTY_CASES[name]


def filled(values: ArrayLike, both_empty: ArrayLike, otherwise: float) -> NDArray:
    """Put a rule's value where both mask and truth are empty.

    Parameters
    ----------
    values : array_like, shape (...)
    both_empty : array_like of bool, shape (...)
    otherwise : float

    Returns
    -------
    ndarray of float64, shape (...)
    """
    return np.where(np.asarray(both_empty, bool), otherwise, np.asarray(values, np.float64))
