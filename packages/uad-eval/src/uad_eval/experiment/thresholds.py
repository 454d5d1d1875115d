"""The thresholds of a fold, by protocol, from the scores of its validation people."""

from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.healthy_volume import marked_volumes
from uad_eval.protocols import (
    HEALTHY_VALIDATION,
    HEALTHY_VOLUME,
    LESION_VALIDATION,
    SYNTHETIC_VALIDATION,
    healthy_validation_threshold,
    lesion_validation_threshold,
    synthetic_validation_threshold,
)
from uad_postproc import Context, Pipeline, lowest_threshold


def label_free_thresholds(
    scores: NDArray, store: ArrayStore, rows: NDArray, *, steps: Pipeline, settings: ExperimentSettings
) -> dict[str, float]:
    """Fit the thresholds that need healthy validation rows and nothing else.

    Parameters
    ----------
    scores : ndarray, shape (n, *size)
        Of the healthy validation rows, by the pipeline.
    store : ArrayStore
        The prepared cohort, with the column ``voxel_ml``.
    rows : ndarray of int, shape (n,)
        These rows.
    steps : Pipeline
        The pipeline, whose steps behind the threshold decide what is marked.
    settings : ExperimentSettings
        The stated rate and volume.

    Returns
    -------
    dict of str to float
        ``healthy_validation`` and ``healthy_volume``.
    """
    brain, index = store.brain[rows], store.index.iloc[rows]
    voxel_ml, scans = index["voxel_ml"].to_numpy(), index["scan"].to_numpy()

    def mean_volume(threshold: float) -> float:
        """Give the ml marked in a scan, on average."""
        masks = steps.with_threshold(threshold).mask_from_scores(scores, Context(brain))
        return float(marked_volumes(masks, voxel_ml, scans).mean())

    inside = scores[brain]
    return {
        HEALTHY_VALIDATION: healthy_validation_threshold(inside, false_positive_rate=settings.false_positive_rate),
        HEALTHY_VOLUME: lowest_threshold(inside, mean_volume, at_most=settings.false_positive_ml),
    }


def best_dice_thresholds(
    real: tuple[NDArray, NDArray], made_up: tuple[NDArray, NDArray] | None = None
) -> dict[str, float]:
    """Fit the thresholds of best Dice, on labelled validation people and on made-up lesions.

    Parameters
    ----------
    real, made_up : tuple of ndarray
        Scores and lesion of brain voxels, each ``(v,)``.

    Returns
    -------
    dict of str to float
        ``lesion_validation`` and ``synthetic_validation``, each where there is a lesion to fit on.
    """
    found = {}
    if real[1].any():
        found[LESION_VALIDATION] = lesion_validation_threshold(*real)
    if made_up is not None and made_up[1].any():
        found[SYNTHETIC_VALIDATION] = synthetic_validation_threshold(*made_up)
    return found
