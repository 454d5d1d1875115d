"""One method over its seeds, and two methods against each other, draw by draw.

How seeds and subjects combine: the value is the mean over the seeds. In each draw the subjects are resampled (the same
draw for every method and seed) and so are the method's seeds, and the mean over those seeds is taken; the interval
holds the middle 95 % of the draws, expanded for few subjects (:func:`uad_eval.bootstrap.interval`). With one seed it
speaks of subjects alone; with two or three it takes in some of the training's own scatter but understates it.
"""

import zlib
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_eval.bootstrap import interval
from uad_eval.errors import InputError
from uad_eval.results import POOLED, SUBJECT, Evaluation


class Estimate(NamedTuple):
    """A value and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


FigureName = tuple[str, str, str, str]
_FIGURE = ["method", "metric", "protocol", "aggregation"]


class Comparison:
    """Figures of an evaluation gathered over seeds, looked up by (method, metric, protocol, aggregation).

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.values: dict[FigureName, float] = evaluation.results.groupby(_FIGURE)["value"].mean().to_dict()
        each = evaluation.results[evaluation.results["aggregation"] == SUBJECT]
        self._subjects: dict[str, int] = each.groupby("method")["subject"].nunique().to_dict()
        by_seed = evaluation.draws.sort_values("seed", kind="stable").groupby(_FIGURE)["draws"]
        self.draws: dict[FigureName, NDArray] = {name: _over_seeds(name[0], draws) for name, draws in by_seed}

    def over_seeds(self, figure: FigureName) -> Estimate:
        """Give a figure's mean over seeds and its interval; see :func:`over_seeds`."""
        ends = interval(self.draws.get(figure, np.zeros(0)), subjects=self._subjects.get(figure[0]))
        return Estimate(self.values.get(figure, float("nan")), *ends)

    def difference(self, figure: FigureName, other: FigureName) -> Estimate:
        """Give the paired difference of two figures; see :func:`paired_difference`."""
        ours, theirs = (self.draws.get(name, np.zeros(0)) for name in (figure, other))
        if ours.size != theirs.size:
            raise InputError(
                f"{figure[0]} has {ours.size} bootstrap draws of {figure[1]}, {other[0]} has {theirs.size}: "
                "expected as many; score both with the same number of draws"
            )
        value = self.values.get(figure, float("nan")) - self.values.get(other, float("nan"))
        return Estimate(value, *interval(ours - theirs, subjects=self._subjects.get(figure[0])))


def over_seeds(
    evaluation: Evaluation, method: str, *, metric: str, protocol: str = "", aggregation: str = POOLED
) -> Estimate:
    """Give a method's figure over all its seeds.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    method, metric : str
    protocol : str
        Where the threshold comes from; empty for figures that have none.
    aggregation : str
        ``"pooled"`` or ``"mean"``.

    Returns
    -------
    Estimate
        NaN where the method has no such figure.
    """
    return Comparison(evaluation).over_seeds((method, metric, protocol, aggregation))


def paired_difference(
    evaluation: Evaluation,
    method: str,
    other: str,
    *,
    metric: str,
    protocol: str = "",
    aggregation: str = POOLED,
) -> Estimate:
    """Give how much a method's figure exceeds another's, on the same draws of the same subjects.

    Subjects that are hard for one method are mostly hard for the other; the difference is therefore known better than
    either figure, and its interval may exclude 0 where the two intervals overlap.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope, holding both methods.
    method, other, metric, protocol, aggregation
        As :func:`over_seeds`.

    Returns
    -------
    Estimate
        Of ``method`` minus ``other``.

    Raises
    ------
    InputError
        The two were not scored on the same subjects with as many draws.
    """
    check_same_subjects(evaluation.results, [method, other])
    figures = ((name, metric, protocol, aggregation) for name in (method, other))
    return Comparison(evaluation).difference(*figures)


def check_same_subjects(results: pd.DataFrame, methods: list[str]) -> None:
    """Refuse to compare methods that were scored on different subjects.

    Parameters
    ----------
    results : pandas.DataFrame
    methods : list of str

    Raises
    ------
    InputError
        Naming the method and the subjects that are missing.
    """
    own = results[(results["aggregation"] == "subject") & (results["metric"] == "average_precision")]
    own = own[own["method"].isin(methods)]
    everyone = set(own["subject"])
    for (method, seed), rows in own.groupby(["method", "seed"]):
        missing = sorted(everyone - set(rows["subject"]))
        if missing:
            raise InputError(
                f"{method} (seed {seed}) lacks {len(missing)} of {len(everyone)} subjects, the first is {missing[0]}; "
                "methods can only be compared on the same test subjects: score it again"
            )


def _over_seeds(method: str, draws: pd.Series) -> NDArray:
    """Draws of one figure over subjects and seeds (draws,), from an array per seed."""
    by_seed = np.stack(draws.to_list())
    seeds, count = by_seed.shape
    if seeds == 1:
        return by_seed[0]
    rng = np.random.default_rng(zlib.crc32(method.encode()))
    return by_seed[rng.integers(seeds, size=(seeds, count)), np.arange(count)].mean(axis=0)
