"""What pre-training gains at each number of labelled scans: a figure of two trainings, paired by person and by seed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_eval.bootstrap import interval
from uad_eval.errors import InputError
from uad_eval.results import POOLED, SUBJECT, Evaluation

_SEED = 0  # of drawing seeds; people are drawn in the evaluation already


def label_curve(
    evaluation: Evaluation,
    methods: Mapping[float, str],
    *,
    metric: str,
    protocol: str = "",
    aggregation: str = POOLED,
) -> pd.DataFrame:
    """Set a figure against the number of labelled scans, with a band over seeds.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    methods : mapping of float to str
        Number of labelled scans to the method of that name. Those without such a figure are left out.
    metric, protocol, aggregation : str
        Which figure.

    Returns
    -------
    pandas.DataFrame
        A row per number, rising: ``method, x``; ``value``, the mean over seeds; ``low, high``, one standard deviation
        over seeds below and above, both the value itself where there is one seed; ``seeds``.
    """
    names = {"metric": metric, "protocol": protocol, "aggregation": aggregation}
    rows = []
    for x in sorted(methods):
        values = _chosen(evaluation.results, methods[x], names)["value"].to_numpy()
        if values.size:
            value, spread = float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else 0.0
            rows.append(
                {"method": methods[x], "x": float(x), "value": value}
                | {"low": value - spread, "high": value + spread, "seeds": values.size}
            )
    return pd.DataFrame(rows, columns=["method", "x", "value", "low", "high", "seeds"])


def label_gain(
    evaluation: Evaluation,
    ours: Mapping[float, str],
    theirs: Mapping[float, str],
    *,
    metric: str,
    protocol: str = "",
    aggregation: str = POOLED,
) -> pd.DataFrame:
    """Test at each number of labelled scans whether one training exceeds the other.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope; both trainings under the same seeds, on the same test people and draws of them.
    ours, theirs : mapping of float to str
        Number of labelled scans to method; numbers that only one has are left out.
    metric, protocol, aggregation : str
        Which figure.

    Returns
    -------
    pandas.DataFrame
        A row per number, rising: ``x``; ``value``, ours minus theirs, the mean over seeds; its 95 % interval ``low,
        high``; ``p``, two-sided, the share of draws on the other side of 0 or at 0, twice; ``seeds``. People and seeds
        are drawn with replacement, the same for both trainings. A few seeds understate the scatter of training.

    Raises
    ------
    InputError
        The two have other seeds or other numbers of draws.
    """
    rows = []
    people = evaluation.results.loc[evaluation.results["aggregation"] == SUBJECT, "subject"].nunique()
    for x in sorted(set(ours) & set(theirs)):
        names = {"metric": metric, "protocol": protocol, "aggregation": aggregation}
        value, draws, seeds = _difference(evaluation, ours[x], theirs[x], names)
        low, high = interval(draws, subjects=people)
        defined = draws[np.isfinite(draws)]
        p = float(min(1.0, 2 * min((defined <= 0).mean(), (defined >= 0).mean()))) if defined.size else float("nan")
        rows.append({"x": float(x), "value": value, "low": low, "high": high, "p": p, "seeds": seeds})
    return pd.DataFrame(rows, columns=["x", "value", "low", "high", "p", "seeds"])


def _difference(evaluation: Evaluation, ours: str, theirs: str, names: Mapping[str, str]) -> tuple[float, NDArray, int]:
    """Mean difference over seeds, its draws, and how many seeds."""
    values, draws = {}, {}
    for method in (ours, theirs):
        summed, drawn = (_chosen(frame, method, names) for frame in (evaluation.results, evaluation.draws))
        values[method] = dict(zip(summed["seed"], summed["value"], strict=True))
        draws[method] = dict(zip(drawn["seed"], drawn["draws"], strict=True))
    seeds = sorted(values[ours])
    if not seeds or seeds != sorted(values[theirs]):
        raise InputError(
            f"{ours} has {names['metric']} of the seeds {seeds}, {theirs} of {sorted(values[theirs])}: expected the "
            "same"
        )
    if len({len(each) for of in draws.values() for each in of.values()}) > 1:
        raise InputError(f"{ours} and {theirs}: expected as many bootstrap draws in both")
    paired = np.stack([np.asarray(draws[ours][seed]) - np.asarray(draws[theirs][seed]) for seed in seeds])
    rng = np.random.default_rng(_SEED)
    picked = rng.integers(len(seeds), size=(len(seeds), paired.shape[1]))
    value = float(np.mean([values[ours][seed] - values[theirs][seed] for seed in seeds]))
    return value, paired[picked, np.arange(paired.shape[1])].mean(axis=0), len(seeds)


def _chosen(frame: pd.DataFrame, method: str, names: Mapping[str, str]) -> pd.DataFrame:
    """Rows of one figure of one method."""
    kept = frame["method"] == method
    for column, name in names.items():
        kept &= frame[column] == name
    return frame[kept]
