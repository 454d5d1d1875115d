"""How much of a figure's scatter comes from who is scanned, and how much from the seed of training.

For each method the people's figures under each seed are taken as ``mean + person + seed + rest``, person and seed
random and crossed (each person is scored under each seed). Components come from the mean squares of the two-way table
without replication: ``var(person) = (MS_person − MS_rest) / seeds`` and ``var(seed) = (MS_seed − MS_rest) / people``, 0
where negative (Searle, Casella & McCulloch, 1992, Variance Components, chapter 4). More people shrink the first part of
the error of the mean, more seeds the second: neither stands in for the other.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from uad_eval.errors import InputError
from uad_eval.results import SUBJECT

_COLUMNS = ["method", "people", "seeds", "mean", "person_sd", "seed_sd", "rest_sd", "mean_se", "seed_p"]


def variance_components(results: pd.DataFrame, *, metric: str, protocol: str = "") -> pd.DataFrame:
    """Split the scatter of a figure into that of people, of seeds and the rest.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results`` of an evaluation, of one cohort and one scope.
    metric, protocol : str
        Which figure.

    Returns
    -------
    pandas.DataFrame
        A row per method: ``people, seeds, mean``; the standard deviations ``person_sd, seed_sd, rest_sd`` in the
        figure's unit; ``mean_se``, the standard error of the mean with both people and seeds drawn anew; ``seed_p``,
        of the F test that seeds do not differ. NaN where a method has one seed or one person, or no spread to test.
        People without a defined figure under every seed are left out.

    Raises
    ------
    InputError
        There is no such figure.
    """
    own = results[
        (results["aggregation"] == SUBJECT) & (results["metric"] == metric) & (results["protocol"] == protocol)
    ]
    if own.empty:
        raise InputError(f"{metric} {protocol or 'without a threshold'}: expected figures per person, found none")
    rows = []
    for method, of_method in own.groupby("method", sort=False):
        crossed = of_method.pivot(index="subject", columns="seed", values="value").dropna().to_numpy()
        rows.append({"method": method} | _components(crossed))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _components(values: NDArray) -> dict[str, float]:
    """Components of a table (people, seeds)."""
    people, seeds = values.shape
    nan = float("nan")
    common = {"people": people, "seeds": seeds, "mean": float(values.mean()) if values.size else nan}
    if people < 2 or seeds < 2:
        return common | dict.fromkeys(_COLUMNS[4:], nan)
    mean = values.mean()
    of_person, of_seed = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_person[:, None] - of_seed + mean
    freedom = (people - 1) * (seeds - 1)
    ms_person = seeds * np.square(of_person - mean).sum() / (people - 1)
    ms_seed = people * np.square(of_seed - mean).sum() / (seeds - 1)
    ms_rest = np.square(rest).sum() / freedom
    person, seed = max(ms_person - ms_rest, 0.0) / seeds, max(ms_seed - ms_rest, 0.0) / people
    return common | {
        "person_sd": float(np.sqrt(person)),
        "seed_sd": float(np.sqrt(seed)),
        "rest_sd": float(np.sqrt(ms_rest)),
        "mean_se": float(np.sqrt(person / people + seed / seeds + ms_rest / (people * seeds))),
        "seed_p": float(stats.f.sf(ms_seed / ms_rest, seeds - 1, freedom)) if ms_rest > 0 else nan,
    }
