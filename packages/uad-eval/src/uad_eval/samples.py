"""Tell anomalous slices and scans from healthy ones by one score each, the ℓ2 distance of image and reconstruction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import DRAWS, ranking_draws, subject_weights
from uad_eval.errors import InputError
from uad_eval.figures import Figure, tabulate
from uad_eval.ranking import Ranking, sorted_scores
from uad_eval.results import Evaluation, RunKey, table


class SliceScores(NamedTuple):
    """One subject's slices.

    Attributes
    ----------
    score : ndarray of float, shape (s,)
        Root mean square of the map over the slice's voxels in scope.
    anomalous : ndarray of bool, shape (s,)
        Whether a voxel of it is lesion.
    scan : ndarray of str, shape (s,)
    """

    score: NDArray
    anomalous: NDArray
    scan: NDArray


def evaluate_slices(
    slices: Mapping[tuple[str, str], SliceScores], *, key: RunKey, draws: int = DRAWS, bootstrap_seed: int = 0
) -> Evaluation:
    """Measure how well slices and scans are told apart, as :func:`evaluate_samples`.

    Parameters
    ----------
    slices : mapping of (subject, pathology) to SliceScores
    key, draws, bootstrap_seed
        As :func:`evaluate_samples`.

    Returns
    -------
    Evaluation
    """
    joined = [np.concatenate(column) for column in zip(*slices.values(), strict=True)]
    lengths = [part.score.size for part in slices.values()]
    subjects, pathologies = (np.repeat([name[kind] for name in slices], lengths) for kind in (0, 1))
    return evaluate_samples(
        joined[0],
        joined[1],
        subjects,
        key=key,
        scans=joined[2],
        pathologies=pathologies,
        draws=draws,
        bootstrap_seed=bootstrap_seed,
    )


def evaluate_samples(
    scores: ArrayLike,
    anomalous: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    scans: Sequence[object] | NDArray | None = None,
    pathologies: Sequence[str] | NDArray | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
) -> Evaluation:
    """Measure how well a sample's score sets anomalous samples apart from healthy ones.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        One per slice, such as ``Method.anomaly_score``: the ℓ2 distance over the brain. Where an item is a whole
        volume, there is one item per scan and the two levels are the same.
    anomalous : array_like of bool, shape (n,)
        Whether the slice holds a lesion voxel.
    subjects : sequence of str, shape (n,)
        Bootstrap draws are of subjects.
    key : RunKey
    scans : sequence, shape (n,), optional
        Which scan each slice is of, where a subject has several; the subjects otherwise.
    pathologies : sequence of str, shape (n,), optional
        Noted in the table ``samples``.
    draws, bootstrap_seed : int

    Returns
    -------
    Evaluation
        Metrics ``slice_auroc``, ``slice_average_precision`` and the same of ``scan``, pooled; NaN where samples are of
        one kind (average precision: where none is anomalous). A scan's score is the root mean square of its slices'
        scores, so that scans with more slices are not farther off for that; it is anomalous when one of its slices is.
        The table ``samples`` holds every score.

    Raises
    ------
    InputError
        Lengths differ, or a score is not finite.
    """
    scores, anomalous = np.asarray(scores, np.float64), np.asarray(anomalous, bool)
    columns = {
        "score": scores,
        "anomalous": anomalous,
        "subject": np.asarray(subjects).astype(str),
        "scan": np.asarray(subjects if scans is None else scans).astype(str),
        "pathology": np.full(scores.shape, "") if pathologies is None else np.asarray(pathologies).astype(str),
    }
    wrong = {name: np.shape(column) for name, column in columns.items() if np.shape(column) != (scores.size,)}
    if wrong or not scores.size:
        raise InputError(f"expected one entry per sample, {scores.size} of them and at least one, found {wrong}")
    slices = pd.DataFrame(columns)
    by_scan = slices.groupby(["subject", "scan"], as_index=False, sort=True)
    scan = by_scan.agg(
        score=("score", _root_mean_square), anomalous=("anomalous", "any"), pathology=("pathology", "first")
    )
    names = np.unique(columns["subject"])
    weights = subject_weights(len(names), draws=draws, seed=bootstrap_seed)
    levels = {"slice": slices, "scan": scan}
    figures = [figure for level, frame in levels.items() for figure in _figures(level, frame, names, weights)]
    kept = [
        table("samples", key.columns() | frame.to_dict("series") | {"level": level, "sample": np.arange(len(frame))})
        for level, frame in levels.items()
    ]
    tabulated = tabulate(key, list(names), [""] * len(names), figures, weights)
    return Evaluation.of(results=tabulated.results, draws=tabulated.draws, samples=pd.concat(kept, ignore_index=True))


def _root_mean_square(scores: pd.Series) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(scores))))


def _figures(level: str, samples: pd.DataFrame, names: NDArray, weights: NDArray) -> list[Figure]:
    """AUROC and average precision of the samples' scores with their draws."""
    score, anomalous = samples["score"].to_numpy(), samples["anomalous"].to_numpy()
    whose = samples["subject"].to_numpy()
    pooled = Ranking.of(score, anomalous)
    each = [sorted_scores(score[whose == name], anomalous[whose == name]) for name in names]
    drawn = ranking_draws(pooled, each, weights)
    return [Figure(f"{level}_{name}", getattr(pooled, name)(), drawn[name]) for name in ("auroc", "average_precision")]
