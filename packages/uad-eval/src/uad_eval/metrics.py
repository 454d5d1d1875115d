"""Voxel metrics of anomaly maps and masks, as pure functions on arrays.

Two families. *Ranking metrics* (average precision, AUROC, ⌈Dice⌉ and the two curves) look at every threshold of a
continuous map; they come from one :class:`~uad_eval.ranking.Ranking`. *Mask metrics* (Dice, IoU, sensitivity,
specificity, precision) look at one mask; they come from four :class:`Counts`. Everywhere a voxel is called anomalous
when its score lies **strictly above** the threshold, as in ``uad_postproc``.

Empty cases are defined, never an error:

=====================================  ==========================================================================
no lesion voxel                        average precision, AUROC, ⌈Dice⌉, sensitivity: NaN; the curves: no point
no healthy voxel                       AUROC, specificity: NaN
empty mask                             precision: NaN; Dice, IoU, sensitivity: 0 when there is a lesion
empty mask and no lesion               Dice, IoU: NaN (nnU-Net's rule) unless ``empty`` says otherwise
no brain voxel                         MAE: NaN
=====================================  ==========================================================================

To add a mask metric, write a function of :class:`Counts` and give it a line in :data:`MASK_METRICS`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError
from uad_eval.ranking import CURVE_POINTS, Curve, Ranking, ratio


class Counts(NamedTuple):
    """Voxel counts of a mask against the truth; each a number, or an array of one shape.

    Attributes
    ----------
    tp, fp, fn, tn : float or ndarray
        True positives, false positives, false negatives, true negatives.
    """

    tp: NDArray | float
    fp: NDArray | float
    fn: NDArray | float
    tn: NDArray | float


def average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """Average precision (area under the precision–recall curve, by steps).

    Parameters
    ----------
    scores : array_like, any shape
        Anomaly scores, higher is more anomalous.
    truth : array_like, same shape
        Non-zero is lesion.

    Returns
    -------
    float
        In 0..1; that of chance is the share of lesion voxels. NaN without a lesion voxel.

    Raises
    ------
    InputError
        Shapes differ, or a score is not finite.
    """
    return Ranking.of(scores, truth).average_precision()


def normalised_average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """Average precision above chance, (AP − prevalence) / (1 − prevalence); parameters as :func:`average_precision`.

    Returns
    -------
    float
        0 is chance and 1 perfect, whatever the share of lesion voxels; NaN without a lesion or a healthy voxel.
    """
    return Ranking.of(scores, truth).normalised_average_precision()


def average_precision_at_prevalence(scores: ArrayLike, truth: ArrayLike, *, prevalence: float) -> float:
    """Average precision as it would be were a stated share of the voxels lesion.

    Cohorts with small and with large lesions may so be set beside each other: with the same overlap of lesion and
    healthy scores they give the same figure.

    Parameters
    ----------
    scores, truth : array_like, same shape
        As :func:`average_precision`.
    prevalence : float
        Above 0 and below 1.

    Returns
    -------
    float
        In 0..1; NaN without a lesion or a healthy voxel.

    Raises
    ------
    InputError
        As :func:`average_precision`, or the prevalence is out of range.

    References
    ----------
    Siblini et al. (2020), Master your metrics with calibration, equation 5 (calibrated precision).
    """
    return Ranking.of(scores, truth).average_precision_at(prevalence)


def auroc(scores: ArrayLike, truth: ArrayLike) -> float:
    """Area under the ROC curve; parameters and errors as :func:`average_precision`.

    Returns
    -------
    float
        In 0..1; that of chance is 0.5. NaN without a lesion voxel or without a healthy one.
    """
    return Ranking.of(scores, truth).auroc()


def best_dice(scores: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """⌈Dice⌉, the best Dice that any threshold reaches on these very voxels, and that threshold.

    It is the oracle's figure: the threshold is chosen with the truth in hand, so it is an upper bound and must not
    stand in a column with the Dice of a threshold chosen beforehand.

    Parameters
    ----------
    scores, truth : array_like, same shape
        As :func:`average_precision`.

    Returns
    -------
    value, threshold : float
        Both NaN without a lesion voxel. The highest threshold, where several are equal.

    Raises
    ------
    InputError
        Shapes differ, or a score is not finite.
    """
    return Ranking.of(scores, truth).best_dice()


def precision_recall_curve(scores: ArrayLike, truth: ArrayLike, *, points: int = CURVE_POINTS) -> Curve:
    """Precision–recall curve for plotting.

    Parameters
    ----------
    scores, truth : array_like, same shape
        As :func:`average_precision`.
    points : int
        Most points to keep. They are spread evenly over the steps in recall and in precision, so that neither jumps
        between neighbours by more than a pixel or two.

    Returns
    -------
    Curve
        x is recall, y is precision; starts at recall 0, precision 1, threshold ``inf``. Draw it as steps.
    """
    return Ranking.of(scores, truth).precision_recall_curve(points=points)


def roc_curve(scores: ArrayLike, truth: ArrayLike, *, points: int = CURVE_POINTS) -> Curve:
    """ROC curve for plotting, thinned as :func:`precision_recall_curve`; x false, y true positive rate."""
    return Ranking.of(scores, truth).roc_curve(points=points)


def counts(prediction: ArrayLike, truth: ArrayLike) -> Counts:
    """Count the voxels of a mask against the truth; arrays of one shape, non-zero is anomalous."""
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape:
        raise InputError(f"mask and truth must have one shape, found {prediction.shape} and {truth.shape}")
    predicted, lesion = prediction != 0, truth != 0
    tp, positive, wanted = (int(np.count_nonzero(a)) for a in (predicted & lesion, predicted, lesion))
    return Counts(tp, positive - tp, wanted - tp, prediction.size - positive - wanted + tp)


def counted_dice(c: Counts) -> NDArray:
    """Dice, 2·tp / (2·tp + fp + fn)."""
    return ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def counted_iou(c: Counts) -> NDArray:
    """Intersection over union, tp / (tp + fp + fn)."""
    return ratio(c.tp, c.tp + c.fp + c.fn)


def counted_sensitivity(c: Counts) -> NDArray:
    """Share of the lesion that is found, tp / (tp + fn)."""
    return ratio(c.tp, c.tp + c.fn)


def counted_specificity(c: Counts) -> NDArray:
    """Share of the healthy voxels left alone, tn / (tn + fp)."""
    return ratio(c.tn, c.tn + c.fp)


def counted_precision(c: Counts) -> NDArray:
    """Share of the mask that is lesion, tp / (tp + fp)."""
    return ratio(c.tp, c.tp + c.fp)


MASK_METRICS: dict[str, Callable[[Counts], NDArray]] = {
    "dice": counted_dice,
    "iou": counted_iou,
    "sensitivity": counted_sensitivity,
    "specificity": counted_specificity,
    "precision": counted_precision,
}


def dice(prediction: ArrayLike, truth: ArrayLike, *, empty: float = float("nan")) -> float:
    """Dice of a mask.

    Parameters
    ----------
    prediction, truth : array_like, same shape
        Non-zero is anomalous, non-zero is lesion.
    empty : float
        Value when both are empty: NaN (default; such a case then drops out of a mean) or 1.

    Returns
    -------
    float
        In 0..1; 0 when just one of the two is empty.

    Raises
    ------
    InputError
        Shapes differ.
    """
    return _or_empty(counted_dice(counts(prediction, truth)), empty)


def iou(prediction: ArrayLike, truth: ArrayLike, *, empty: float = float("nan")) -> float:
    """Intersection over union (Jaccard) of a mask; parameters, rule and errors as :func:`dice`."""
    return _or_empty(counted_iou(counts(prediction, truth)), empty)


def sensitivity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Share of the lesion voxels that the mask takes in (recall); NaN without a lesion voxel."""
    return float(counted_sensitivity(counts(prediction, truth)))


def specificity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Share of the healthy voxels that the mask leaves out; NaN without a healthy voxel."""
    return float(counted_specificity(counts(prediction, truth)))


def precision(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Share of the mask's voxels that are lesion; NaN for an empty mask."""
    return float(counted_precision(counts(prediction, truth)))


def mae(image: ArrayLike, reconstruction: ArrayLike, brain: ArrayLike) -> float:
    """Mean absolute error of a reconstruction over the brain's voxels and all channels.

    Parameters
    ----------
    image, reconstruction : array_like, shape (n, c, *spatial) or that of ``brain``
        In the scale of the prepared images.
    brain : array_like of bool, shape (n, *spatial)

    Returns
    -------
    float
        NaN without a brain voxel.

    Raises
    ------
    InputError
        Shapes do not fit together.
    """
    total, voxels = absolute_error(image, reconstruction, brain)
    return float(ratio(total, voxels))


def absolute_error(image: ArrayLike, reconstruction: ArrayLike, brain: ArrayLike) -> tuple[float, int]:
    """Sum of absolute errors over brain voxels and channels, and how many they are; parameters as :func:`mae`."""
    image, reconstruction, brain = np.asarray(image), np.asarray(reconstruction), np.asarray(brain, bool)
    per_channel = image.ndim == brain.ndim + 1
    expected = image.shape[:1] + image.shape[2:] if per_channel else image.shape
    if image.shape != reconstruction.shape or brain.shape != expected:
        raise InputError(
            "image and reconstruction must have one shape, (n, c, *spatial), and brain (n, *spatial); found "
            f"{image.shape}, {reconstruction.shape} and {brain.shape}"
        )
    error = np.abs(image.astype(np.float32) - reconstruction.astype(np.float32))
    inside = np.broadcast_to(brain[:, None], image.shape) if per_channel else brain
    return float(error.sum(where=inside, dtype=np.float64)), int(np.count_nonzero(inside))


def _or_empty(value: NDArray, empty: float) -> float:
    """Put the caller's value in place of the undefined 0/0."""
    return float(empty) if np.isnan(value) else float(value)
