"""From a figure and its bootstrap draws to the rows of the tidy tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_eval.bootstrap import interval, ratio_draws
from uad_eval.results import MEAN, POOLED, SUBJECT, Evaluation, RunKey, table


@dataclass(frozen=True)
class Figure:
    """One metric of one run.

    Attributes
    ----------
    metric : str
    pooled : float
        Over all voxels or samples together.
    draws : ndarray, shape (draws,), or None
        The pooled figure in each bootstrap draw; None where there is no pooled figure, only subjects'.
    each : ndarray, shape (subjects,), or None
        The same per subject; None where a subject has none of its own.
    averaged : ndarray of bool, shape (subjects,), or None
        Which subjects the mean is taken over; None for all. Undefined ones (NaN) are left out in any case.
    protocol, unit : str
    threshold : float
    """

    metric: str
    pooled: float
    draws: NDArray | None
    each: NDArray | None = None
    averaged: NDArray | None = None
    protocol: str = ""
    threshold: float = float("nan")
    unit: str = "fraction"


def tabulate(
    key: RunKey, subjects: Sequence[str], pathologies: Sequence[str], figures: Iterable[Figure], weights: NDArray
) -> Evaluation:
    """Write figures as rows: pooled, mean over subjects, and each subject.

    Parameters
    ----------
    key : RunKey
    subjects, pathologies : sequence of str, shape (subjects,)
    figures : iterable of Figure
    weights : ndarray, shape (draws, subjects)
        From :func:`uad_eval.bootstrap.subject_weights`. A single subject says nothing about the next one: then
        there are no intervals.

    Returns
    -------
    Evaluation
        Tables ``results`` and ``draws``.
    """
    rows, drawn = [], []
    for figure in figures:
        common = key.columns() | {"metric": figure.metric, "protocol": figure.protocol}
        noted = common | {"threshold": figure.threshold, "unit": figure.unit}
        summaries = [] if figure.draws is None else [(POOLED, figure.pooled, figure.draws)]
        if figure.each is not None:
            kept = figure.each if figure.averaged is None else np.where(figure.averaged, figure.each, np.nan)
            ones = np.ones_like(kept)
            summaries.append((MEAN, float(ratio_draws(kept, ones, ones)), ratio_draws(kept, ones, weights)))
            rows += [
                noted | {"subject": s, "pathology": p, "value": value, "aggregation": SUBJECT}
                for s, p, value in zip(subjects, pathologies, figure.each, strict=True)
            ]
        for aggregation, value, draws in summaries:
            known = draws if len(subjects) > 1 else np.full(len(draws), np.nan)
            low, high = interval(known, subjects=len(subjects))
            rows.append(
                noted | {"subject": aggregation, "value": value, "low": low, "high": high, "aggregation": aggregation}
            )
            drawn.append(common | {"aggregation": aggregation, "draws": known})
    return Evaluation.of(results=table("results", rows), draws=table("draws", drawn))
