"""Which methods differ: paired tests over people for every pair of methods, corrected for their number by Holm's rule.

The person is the unit. A person's figure is the mean over training seeds, so that seeds do not pass for people. What is
tested is the figure per person; for the interval of a difference of *pooled* figures see
:func:`uad_eval.comparison.paired_difference`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from uad_eval.comparison import check_same_subjects
from uad_eval.errors import InputError
from uad_eval.results import SUBJECT

PairedTest = Literal["wilcoxon", "permutation"]
_RESAMPLES = 9999


def subject_figures(
    results: pd.DataFrame, *, metric: str, protocol: str = "", methods: Sequence[str] | None = None
) -> pd.DataFrame:
    """Set the methods' figures beside each other, a row per person.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results`` of an evaluation, of one cohort and one scope.
    metric, protocol : str
        Which figure.
    methods : sequence of str, optional
        In the order of the columns; otherwise as they come.

    Returns
    -------
    pandas.DataFrame
        Index ``subject``, a column per method: the mean over seeds. People without a defined figure of every method
        (no lesion) are left out.

    Raises
    ------
    InputError
        There is no such figure, a method lacks it, or methods were scored on different people.
    """
    own = results[
        (results["aggregation"] == SUBJECT) & (results["metric"] == metric) & (results["protocol"] == protocol)
    ]
    names = list(dict.fromkeys(results["method"])) if methods is None else list(methods)
    lacking = [name for name in names if name not in set(own["method"])]
    if lacking or not names:
        raise InputError(
            f"{metric} {protocol or 'without a threshold'}: expected a figure per person of every method, "
            f"{', '.join(lacking) or 'all of them'} has none"
        )
    check_same_subjects(results, names)
    return own.pivot_table(index="subject", columns="method", values="value", aggfunc="mean")[names].dropna()


def paired_tests(figures: pd.DataFrame, *, test: PairedTest = "wilcoxon", seed: int = 0) -> pd.DataFrame:
    """Test every pair of methods on the same people.

    Parameters
    ----------
    figures : pandas.DataFrame
        From :func:`subject_figures`.
    test : {"wilcoxon", "permutation"}
        Wilcoxon's signed-rank test (zero differences are ranked and split between the signs), or the permutation test
        of the mean difference (signs flipped; exact up to 13 people, otherwise 9999 draws). Both two-sided.
    seed : int
        Of the permutations.

    Returns
    -------
    pandas.DataFrame
        A row per pair: ``method, other, people, difference`` (mean of method minus other), ``wins`` (share of people
        for whom ``method`` is higher, ties half), ``p``, and ``p_holm``, by which the pairs may be judged together at
        one level. p is 1 where all differences are 0 and NaN with fewer than two people.

    Raises
    ------
    InputError
        The test is unknown.
    """
    if test not in ("wilcoxon", "permutation"):
        raise InputError(f"paired_tests: expected the test 'wilcoxon' or 'permutation', found {test!r}")
    rows = []
    for method, other in combinations(figures.columns, 2):
        difference = (figures[method] - figures[other]).to_numpy(np.float64)
        rows.append(
            {
                "method": method,
                "other": other,
                "people": difference.size,
                "difference": float(difference.mean()) if difference.size else float("nan"),
                "wins": float(((difference > 0) + 0.5 * (difference == 0)).mean()) if difference.size else float("nan"),
                "p": _p(difference, test, seed),
            }
        )
    table = pd.DataFrame(rows, columns=["method", "other", "people", "difference", "wins", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(np.float64)))


def holm(p: ArrayLike) -> NDArray:
    """Correct p-values for their number.

    Parameters
    ----------
    p : array_like, shape (tests,)
        NaN is left as it is and does not count.

    Returns
    -------
    ndarray, shape (tests,)
        Adjusted p-values, at least as large and at most 1: reject those at or below the level.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p, np.float64)
    adjusted = p.copy()
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def _p(difference: NDArray, test: PairedTest, seed: int) -> float:
    """Two-sided p of paired differences (people,)."""
    if difference.size < 2:
        return float("nan")
    if not difference.any():
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(difference, zero_method="zsplit").pvalue)
    found = stats.permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
