"""How a figure grows with one quantity, such as training steps, people or network size."""

from collections.abc import Mapping

import pandas as pd

from uad_eval.comparison import Comparison, check_same_subjects
from uad_eval.results import POOLED, Evaluation


def growth_table(
    evaluation: Evaluation, places: Mapping[str, float], *, metric: str = "average_precision"
) -> pd.DataFrame:
    """Set a pooled figure of several trainings beside the quantity in which they differ.

    Parameters
    ----------
    evaluation : Evaluation
        Of one scope and the same test people.
    places : mapping of str to float
        Method to its quantity.
    metric : str
        A ranking metric.

    Returns
    -------
    pandas.DataFrame
        A row per method, by rising quantity: ``method, x``; ``value`` and its 95 % interval ``low, high``; ``gain``,
        the paired difference from the first row, with ``gain_low, gain_high``.

    Raises
    ------
    InputError
        The methods were not scored on the same people.
    """
    check_same_subjects(evaluation.results, list(places))
    comparison = Comparison(evaluation)
    ordered = sorted(places, key=lambda method: places[method])
    rows = []
    for method in ordered:
        figure, first = ((name, metric, "", POOLED) for name in (method, ordered[0]))
        estimate, gain = comparison.over_seeds(figure), comparison.difference(figure, first)
        rows.append(
            {"method": method, "x": places[method]}
            | estimate._asdict()
            | {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        )
    return pd.DataFrame(rows)
