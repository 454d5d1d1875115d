"""The ways to come by a threshold; their figures stand in columns of their own and are never mixed.

``lesion_validation``
    The threshold with the best Dice on labelled validation scans. It has seen labels, though not those of the test.
``healthy_validation``
    The threshold that a stated share of healthy validation voxels exceeds. It has seen no lesion.
``healthy_volume``
    The threshold at which the final masks of healthy validation scans hold a stated volume a scan
    (:mod:`uad_eval.healthy_volume`). It has seen no lesion.
``synthetic_validation``
    The threshold with the best Dice on lesions that were made up in healthy validation scans. It has seen no real one.
``per_image``
    No threshold from other scans: a rule such as a mixture of Gaussians makes the mask of each image from that image
    alone. It has seen no label.
``oracle``
    The threshold with the best Dice on the test scans themselves. Its Dice is an upper bound, written ⌈Dice⌉.

A voxel is anomalous when its score lies strictly above the threshold.
"""

import numpy as np
from numpy.typing import ArrayLike

from uad_eval.errors import InputError
from uad_eval.ranking import Ranking

LESION_VALIDATION = "lesion_validation"
HEALTHY_VALIDATION = "healthy_validation"
HEALTHY_VOLUME = "healthy_volume"
SYNTHETIC_VALIDATION = "synthetic_validation"
PER_IMAGE = "per_image"
ORACLE = "oracle"
#: Those with a threshold chosen beforehand, which gives a mask.
MASK_PROTOCOLS = (LESION_VALIDATION, HEALTHY_VALIDATION, HEALTHY_VOLUME, SYNTHETIC_VALIDATION)
#: Those of them that need no label of a lesion.
LABEL_FREE = (HEALTHY_VALIDATION, HEALTHY_VOLUME, SYNTHETIC_VALIDATION)
PROTOCOLS = (*MASK_PROTOCOLS, PER_IMAGE, ORACLE)


def lesion_validation_threshold(scores: ArrayLike, truth: ArrayLike) -> float:
    """Choose the threshold with the best Dice over labelled validation voxels.

    Parameters
    ----------
    scores : array_like, any shape
        Anomaly scores of validation voxels, in the scope of the evaluation.
    truth : array_like, same shape
        Non-zero is lesion.

    Returns
    -------
    float
        The highest threshold, where several are equal.

    Raises
    ------
    InputError
        Shapes differ, a score is not finite, or there is no lesion voxel.
    """
    return _best_dice_threshold(
        scores,
        truth,
        f"{LESION_VALIDATION} needs lesion voxels",
        f"labelled validation scans, or use {HEALTHY_VALIDATION}",
    )


def synthetic_validation_threshold(scores: ArrayLike, made_up: ArrayLike) -> float:
    """Choose the threshold with the best Dice over voxels of healthy validation scans with made-up lesions.

    Parameters
    ----------
    scores : array_like, any shape
        Anomaly scores of the scans with the lesions in them, in the scope of the evaluation.
    made_up : array_like, same shape
        Non-zero where a lesion was made up.

    Returns
    -------
    float
        The highest threshold, where several are equal.

    Raises
    ------
    InputError
        Shapes differ, a score is not finite, or there is no lesion voxel.
    """
    return _best_dice_threshold(
        scores, made_up, f"{SYNTHETIC_VALIDATION} needs voxels of made-up lesions", "more healthy validation scans"
    )


def healthy_validation_threshold(scores: ArrayLike, *, false_positive_rate: float) -> float:
    """Choose the lowest threshold that at most a given share of healthy validation voxels exceeds.

    Parameters
    ----------
    scores : array_like, any shape
        Anomaly scores of healthy validation voxels, in the scope of the evaluation.
    false_positive_rate : float
        Share of these voxels that may be called anomalous, 0 or more and below 1. State it with the figures.

    Returns
    -------
    float
        One of the scores. Where scores are tied, fewer voxels than allowed may exceed it, never more.

    Raises
    ------
    InputError
        The rate is out of range, there is no voxel, or a score is not finite.
    """
    scores = np.asarray(scores).ravel()
    if not 0 <= false_positive_rate < 1:
        raise InputError(f"false_positive_rate: expected 0 <= rate < 1, found {false_positive_rate}")
    if not scores.size or not np.isfinite(scores).all():
        raise InputError(
            f"a threshold for {HEALTHY_VALIDATION} needs finite scores of healthy voxels, found {scores.size} scores, "
            f"{np.count_nonzero(~np.isfinite(scores))} of them not finite"
        )
    position = scores.size - 1 - int(false_positive_rate * scores.size)
    return float(np.partition(scores, position)[position])


def _best_dice_threshold(scores: ArrayLike, truth: ArrayLike, needs: str, remedy: str) -> float:
    """Threshold of the best Dice, or say what is missing."""
    ranking = Ranking.of(scores, truth)
    if not ranking.lesion:
        raise InputError(f"a threshold for {needs}, found none in {ranking.healthy} voxels; give {remedy}")
    return ranking.best_dice()[1]
