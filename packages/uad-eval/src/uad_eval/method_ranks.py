"""Ranks of the methods over people, and how far apart mean ranks must lie: Friedman's test, Nemenyi's difference.

Demšar (2006), Statistical comparisons of classifiers over multiple data sets, section 3.2.2; its data sets are people
here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from uad_eval.errors import InputError


@dataclass(frozen=True)
class MethodRanks:
    """Mean ranks and what tells them apart.

    Attributes
    ----------
    ranks : pandas.Series
        Mean rank by method, best (lowest) first; ties share their ranks.
    people : int
    friedman_p : float
        That all methods rank alike; NaN with fewer than three methods, 1 where all figures are tied.
    critical_difference : float
        Mean ranks that lie at least this far apart differ, all pairs judged together at the level.
    level : float
    groups : tuple of tuple of str
        Largest runs of neighbouring methods within the critical difference, of two or more.
    """

    ranks: pd.Series
    people: int
    friedman_p: float
    critical_difference: float
    level: float
    groups: tuple[tuple[str, ...], ...]


def method_ranks(figures: pd.DataFrame, *, level: float = 0.05, higher_is_better: bool = True) -> MethodRanks:
    """Rank the methods for each person and average.

    Parameters
    ----------
    figures : pandas.DataFrame
        From :func:`uad_eval.paired_tests.subject_figures`.
    level : float
        Of the critical difference.
    higher_is_better : bool
        False for distances and errors.

    Returns
    -------
    MethodRanks

    Raises
    ------
    InputError
        Fewer than two methods or two people, or the level is out of range.
    """
    people, methods = figures.shape
    if methods < 2 or people < 2:
        raise InputError(f"ranks: expected two methods and two people or more, found {methods} and {people}")
    if not 0 < level < 1:
        raise InputError(f"level: expected one between 0 and 1, found {level}")
    each = figures.rank(axis=1, ascending=not higher_is_better)
    ranks = each.mean().sort_values(kind="stable")
    quantile = stats.studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    difference = float(quantile * np.sqrt(methods * (methods + 1) / (6 * people)))
    return MethodRanks(ranks, people, _friedman(figures), difference, level, _groups(ranks, difference))


def _friedman(figures: pd.DataFrame) -> float:
    """P of Friedman's chi-squared test."""
    if figures.shape[1] < 3:
        return float("nan")
    if (figures.nunique(axis=1) == 1).all():
        return 1.0
    return float(stats.friedmanchisquare(*(figures[name] for name in figures)).pvalue)


def _groups(ranks: pd.Series, difference: float) -> tuple[tuple[str, ...], ...]:
    """Give the runs of methods whose mean ranks lie closer than the critical difference, none within another."""
    values, names = ranks.to_numpy(), list(ranks.index)
    ends = np.searchsorted(values, values + difference, side="left")
    runs: list[tuple[str, ...]] = []
    reached = 0
    for start, end in enumerate(ends):
        if end - start > 1 and end > reached:
            runs.append(tuple(names[start:end]))
            reached = int(end)
    return tuple(runs)
