"""What a change of method does to each pathology: paired differences, person by person."""

import pandas as pd

from uad_eval.errors import InputError
from uad_eval.results import SUBJECT
from uad_eval.tables import by_pathology

ALL = "all"


def differences_by_pathology(
    results: pd.DataFrame, reference: str, *, metric: str = "average_precision", protocol: str = ""
) -> pd.DataFrame:
    """Average over people how much each method's figure exceeds that of a reference method on the same person.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results`` of an evaluation, of one cohort and one scope.
    reference : str
        The method that the others are compared with.
    metric, protocol : str
        Which figure.

    Returns
    -------
    pandas.DataFrame
        As :func:`uad_eval.tables.by_pathology`, without the reference; people of all pathologies together stand under
        ``"all"``.

    Raises
    ------
    InputError
        The reference is not among the methods.
    """
    own = results[
        (results["aggregation"] == SUBJECT) & (results["metric"] == metric) & (results["protocol"] == protocol)
    ]
    means = own.groupby(["method", "pathology", "subject"], sort=False, as_index=False)["value"].mean()
    if reference not in set(means["method"]):
        raise InputError(f"reference {reference!r}: expected one of {', '.join(means['method'].unique())}")
    base = means[means["method"] == reference].set_index("subject")["value"]
    others = means[means["method"] != reference]
    paired = others.assign(
        value=others["value"] - others["subject"].map(base), aggregation=SUBJECT, metric=metric, protocol=protocol
    )
    return by_pathology(with_all(paired), metric=metric, protocol=protocol)


def with_all(results: pd.DataFrame) -> pd.DataFrame:
    """Repeat the rows of people under the pathology ``"all"``, for a table that also has the people together.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results``.

    Returns
    -------
    pandas.DataFrame
        Twice the rows of people; no others.
    """
    people = results[results["aggregation"] == SUBJECT]
    return pd.concat([people, people.assign(pathology=ALL)], ignore_index=True)
