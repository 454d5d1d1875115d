"""Which slices and scans count as anomalous: the two ways of the CT thesis, and whole scans.

Source: A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU
München 2020, section 6.3.1 and Table 6.4. The anomalous sample is the positive class throughout.

``slice``
    "Slicewise": a slice with a lesion is positive, every other one negative, whosever it is.
``clinical``
    "Clinical slicewise": nobody knows which slice has the lesion, so every slice of an anomalous scan is positive.
``scan``
    A scan with a lesion is positive; its score is the root mean square of its slices' scores.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import DRAWS
from uad_eval.errors import InputError
from uad_eval.ranking import Ranking
from uad_eval.results import RunKey
from uad_eval.samples import evaluate_samples

SAMPLE_PROTOCOLS = ("slice", "clinical", "scan")


def clinical_labels(lesion: ArrayLike, scans: Sequence[object] | NDArray) -> NDArray[np.bool_]:
    """Mark every slice of a scan that has a lesion somewhere.

    Parameters
    ----------
    lesion : array_like of bool, shape (n,)
        Whether a slice has a lesion.
    scans : sequence, shape (n,)
        Which scan it is of.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    lesion, scans = np.asarray(lesion, bool), np.asarray(scans)
    return np.isin(scans, scans[lesion])


def sample_figures(
    scores: Mapping[str, ArrayLike],
    lesion: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    scans: Sequence[object] | NDArray | None = None,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Measure several scores of the same slices under each protocol.

    Parameters
    ----------
    scores : mapping of str to array_like of float, shape (n,)
        By name, higher for anomalous slices.
    lesion : array_like of bool, shape (n,)
        Whether the slice has a lesion.
    subjects : sequence of str, shape (n,)
        Bootstrap draws are of subjects.
    key : RunKey
    scans : sequence, shape (n,), optional
        Where a subject has several; the subjects otherwise.
    draws : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        A row per score and protocol: ``method, seed, score, protocol, positives, negatives``; ``auroc`` and ``aupr``
        (average precision), each followed by its ``_low`` and ``_high``, a 95 % interval over subjects.
    """
    scans = subjects if scans is None else scans
    lesion = np.asarray(lesion, bool)
    labels = {"slice": lesion, "clinical": clinical_labels(lesion, scans)}
    rows = []
    for name, score in scores.items():
        found = {
            kind: evaluate_samples(score, label, subjects, key=key, scans=scans, draws=draws)
            for kind, label in labels.items()
        }
        for protocol in SAMPLE_PROTOCOLS:
            level = "scan" if protocol == "scan" else "slice"
            own = found["slice" if protocol == "scan" else protocol]
            positive = own.samples.loc[own.samples["level"] == level, "anomalous"]
            row = {"method": key.method, "seed": key.seed, "score": name, "protocol": protocol}
            row |= {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
            for metric, short in (("auroc", "auroc"), ("average_precision", "aupr")):
                figure = own.results[own.results["metric"] == f"{level}_{metric}"].iloc[0]
                row |= {short: figure["value"], f"{short}_low": figure["low"], f"{short}_high": figure["high"]}
            rows.append(row)
    return pd.DataFrame(rows)


def pathology_figures(
    scores: Mapping[str, ArrayLike], lesion: ArrayLike, pathologies: Sequence[str] | NDArray
) -> pd.DataFrame:
    """Measure how each pathology's slices are told from all slices without a lesion, as Table 6.4 of the thesis.

    Parameters
    ----------
    scores : mapping of str to array_like of float, shape (n,)
        By name.
    lesion : array_like of bool, shape (n,)
        Whether the slice has a lesion.
    pathologies : sequence of str, shape (n,)
        Of the slice's scan.

    Returns
    -------
    pandas.DataFrame
        A row per score and pathology: ``score, pathology, slices`` (with a lesion), ``auroc``.

    Raises
    ------
    InputError
        Every slice has a lesion.
    """
    lesion, pathologies = np.asarray(lesion, bool), np.asarray(pathologies)
    if lesion.all():
        raise InputError("AUROC by pathology: expected slices without a lesion to compare with, found none")
    rows = []
    for name, score in scores.items():
        values = np.asarray(score, float)
        for kind in sorted(set(pathologies[lesion])):
            kept = ~lesion | (pathologies == kind)
            auroc = Ranking.of(values[kept], lesion[kept]).auroc()
            count = int((lesion & (pathologies == kind)).sum())
            rows.append({"score": name, "pathology": kind, "slices": count, "auroc": auroc})
    return pd.DataFrame(rows)


def balance_curve(pose: ArrayLike, distance: ArrayLike, anomalous: ArrayLike, *, points: int = 21) -> pd.DataFrame:
    """Follow the AUROC of a combined score from one part alone to the other.

    Parameters
    ----------
    pose, distance : array_like of float, shape (n,)
        Parts of the score on one scale, equation 6.2 of the thesis: ``(1 − λ) pose + λ distance``.
    anomalous : array_like of bool, shape (n,)
        Which samples are positive.
    points : int
        Values of λ, evenly from 0 to 1.

    Returns
    -------
    pandas.DataFrame
        ``balance`` (λ) and ``auroc``.
    """
    pose, distance = np.asarray(pose, float), np.asarray(distance, float)
    balance = np.linspace(0, 1, points)
    found = [Ranking.of((1 - share) * pose + share * distance, anomalous).auroc() for share in balance]
    return pd.DataFrame({"balance": balance, "auroc": found})


def combined_finding(figures: pd.DataFrame, *, protocol: str = "clinical") -> str:
    """Say whether a combined score does at least as well as the better of its parts.

    Parameters
    ----------
    figures : pandas.DataFrame
        From `sample_figures`, with the scores ``combined``, ``reconstruction`` and ``classification`` of one method.
    protocol : str
        Which of `SAMPLE_PROTOCOLS`.

    Returns
    -------
    str
        A sentence with the AUROC of all three, means over seeds.

    Raises
    ------
    InputError
        One of the three is not there.
    """
    own = figures[figures["protocol"] == protocol]
    auroc = own.groupby("score")["auroc"].mean()
    if not {"combined", "reconstruction", "classification"} <= set(auroc.index):
        raise InputError(
            f"combined score by protocol {protocol!r}: expected the scores combined, reconstruction and classification "
            f"of one method, found {', '.join(auroc.index) or 'none'}; add multitask to the methods"
        )
    parts = auroc[["reconstruction", "classification"]]
    better = str(parts.idxmax())
    verdict = "at least as well as" if auroc["combined"] >= parts[better] else "**worse than**"
    return (
        f"By protocol *{protocol}* the combined score (AUROC {auroc['combined']:.3f}) does {verdict} its better part, "
        f"{better} ({parts[better]:.3f}); the other part has {parts.min():.3f}."
    )
