"""Figures of a cell: the test people of all its folds together, each scored by the training that never saw them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.evaluation import evaluate
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.healthy_volume import evaluate_false_positives
from uad_eval.reconstruction import evaluate_reconstruction
from uad_eval.results import Evaluation, RunKey, single_figures
from uad_eval.samples import evaluate_samples
from uad_models import method_class
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import pipeline


def fitted_pipelines(fold: Fold, settings: ExperimentSettings) -> dict[str, Pipeline]:
    """Give the pipeline of a finished fold, once per threshold protocol.

    Parameters
    ----------
    fold : Fold
        A finished fold.
    settings : ExperimentSettings
        Of the experiment.

    Returns
    -------
    dict of str to Pipeline
        Protocol to pipeline with that protocol's threshold.
    """
    steps = pipeline(settings.pipeline)
    return {protocol: steps.with_threshold(value) for protocol, value in fold.facts()["thresholds"].items()}


def judge(
    folds: Sequence[Fold], stores: Sequence[ArrayStore], settings: ExperimentSettings, *, key: RunKey, method: str
) -> Evaluation:
    """Score the labelled test rows of all folds in one pot.

    A fold's thresholds make the masks of its own people. A protocol that some fold has no threshold for is left out.

    Parameters
    ----------
    folds : sequence of Fold
        Finished ones of one method and seed.
    stores : sequence of ArrayStore
        The prepared cohort with each fold's split, and the column ``voxel_ml``.
    settings : ExperimentSettings
        Of the experiment.
    key : RunKey
        Stands in every row.
    method : str
        Registered name.

    Returns
    -------
    Evaluation
        Its tables. Where there are several folds, the threshold of a figure is NaN, as each fold has its own, and
        seconds are the mean and memory the most of a fold.
    """
    store = stores[0]  # the arrays are the same in all
    positions = [annotated_positions(view) for view in stores]
    rows = np.concatenate([view.rows("test")[places] for view, places in zip(stores, positions, strict=True)])
    index, brain = store.index.iloc[rows], store.brain[rows]
    scores = _gather(folds, positions, "test_scores")
    masks = _masks(folds, positions, scores, brain, settings)
    subjects, pathologies = index["subject"].to_numpy(), index["pathology"].to_numpy()
    voxel_ml, anomalous = index["voxel_ml"].to_numpy(), index["lesion_voxels"].to_numpy() > 0
    parts = [
        evaluate(
            scores,
            store.lesion[rows],
            brain,
            subjects,
            key=key,
            pathologies=pathologies,
            masks=masks,
            thresholds=folds[0].facts()["thresholds"] if len(folds) == 1 else None,
            false_positive_rate=settings.false_positive_rate,
            voxel_ml=voxel_ml,
        ),
        evaluate_samples(
            _gather(folds, positions, "test_samples"),
            anomalous,
            subjects,
            key=key,
            scans=index["scan"],
            pathologies=pathologies,
        ),
        single_figures(key, _measured(folds)),
    ]
    if anomalous.all():
        return Evaluation.concat(parts)
    healthy = ~anomalous
    parts.append(
        evaluate_false_positives(
            {name: mask[healthy] for name, mask in masks.items()},
            voxel_ml[healthy],
            index["scan"].to_numpy()[healthy],
            subjects[healthy],
            key=key,
            false_positive_ml=settings.false_positive_ml,
        )
    )
    if method_class(method).trained:
        image = store.image[rows[healthy]].astype(np.float32)
        rebuilt = _gather(folds, positions, "reconstruction", healthy)
        parts.append(evaluate_reconstruction(image, rebuilt, brain[healthy], subjects[healthy], key=key))
    return Evaluation.concat(parts)


def annotated_positions(store: ArrayStore) -> NDArray:
    """Give the places among the test rows of those that are annotated, ``(n,)`` int."""
    return np.flatnonzero(store.index["lesion_voxels"].to_numpy()[store.rows("test")] >= 0)


def _gather(folds: Sequence[Fold], positions: Sequence[NDArray], name: str, keep: NDArray | None = None) -> NDArray:
    """Read what each fold left of its own test rows, one fold behind the other; of some of them only."""
    ends = np.cumsum([len(places) for places in positions])[:-1]
    kept = np.split(np.ones(sum(map(len, positions)), bool) if keep is None else keep, ends)
    return np.concatenate(
        [
            np.load(fold.folder / f"{name}.npy", mmap_mode="r")[places[some]]
            for fold, places, some in zip(folds, positions, kept, strict=True)
        ]
    )


def _masks(
    folds: Sequence[Fold],
    positions: Sequence[NDArray],
    scores: NDArray,
    brain: NDArray,
    settings: ExperimentSettings,
) -> dict[str, NDArray]:
    """Cut each fold's scores at its own thresholds."""
    pipelines = [fitted_pipelines(fold, settings) for fold in folds]
    ends = np.cumsum([len(places) for places in positions])
    masks = {}
    for protocol in pipelines[0]:
        if all(protocol in own for own in pipelines):
            masks[protocol] = np.empty(scores.shape, bool)
            for own, end, places in zip(pipelines, ends, positions, strict=True):
                here = slice(end - len(places), end)
                masks[protocol][here] = own[protocol].mask_from_scores(scores[here], Context(brain[here]))
    return masks


def _measured(folds: Sequence[Fold]) -> dict[str, tuple[float, str]]:
    """Give seconds as the mean over folds and memory as the most of any, with their units."""
    measured = [fold.facts()["measured"] for fold in folds]
    return {
        name: (float((np.max if unit == "MiB" else np.mean)([each[name][0] for each in measured])), unit)
        for name, (_, unit) in measured[0].items()
    }
