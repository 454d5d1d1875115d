"""How a figure grows with one quantity, such as training steps, people or network size."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from uad_eval.comparison import Comparison, check_same_subjects
from uad_eval.results import POOLED, Evaluation


def growth_table(
    evaluation: Evaluation,
    places: Mapping[str, float],
    *,
    metric: str = "average_precision",
    against: Literal["first", "best"] = "first",
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
    against : {"first", "best"}
        Which row's figure is subtracted for the column ``gain``: that of the least quantity, or the highest.

    Returns
    -------
    pandas.DataFrame
        A row per method, by rising quantity: ``method, x``; ``value`` and its 95 % interval ``low, high``; ``gain``,
        the paired difference from the row that `against` names, with ``gain_low, gain_high``.

    Raises
    ------
    InputError
        The methods were not scored on the same people.
    """
    check_same_subjects(evaluation.results, list(places))
    comparison = Comparison(evaluation)
    figures = {method: (method, metric, "", POOLED) for method in sorted(places, key=lambda method: places[method])}
    values = {method: comparison.over_seeds(figure).value for method, figure in figures.items()}
    reference = max(values, key=values.__getitem__) if against == "best" else next(iter(values))
    rows = []
    for method, figure in figures.items():
        estimate, gain = comparison.over_seeds(figure), comparison.difference(figure, figures[reference])
        rows.append(
            {"method": method, "x": places[method]}
            | estimate._asdict()
            | {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        )
    return pd.DataFrame(rows)
