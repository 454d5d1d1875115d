"""Pick methods out of an evaluation under other names, so that variants of one method can be told apart in a figure."""

from collections.abc import Mapping

from uad_eval.errors import InputError
from uad_eval.results import SCHEMAS, Evaluation


def relabel(evaluation: Evaluation, names: Mapping[str, str], *, cohort: str | None = None) -> Evaluation:
    """Keep some methods and give them other names.

    Parameters
    ----------
    evaluation : Evaluation
        Of any methods.
    names : mapping of str to str
        Method to its new name, each once.
    cohort : str, optional
        New name of the cohort, for evaluations of the same test people that are to stand in one table.

    Returns
    -------
    Evaluation
        The named methods alone.

    Raises
    ------
    InputError
        A method is not there, or two would bear one name.
    """
    missing = sorted(set(names) - set(evaluation.results["method"]))
    if missing:
        known = ", ".join(sorted(set(evaluation.results["method"])))
        raise InputError(f"method {missing[0]!r}: expected one of {known}")
    if len(set(names.values())) < len(names):
        raise InputError(f"names: expected each once, found {', '.join(names.values())}")
    kept = {}
    for name in SCHEMAS:
        frame = getattr(evaluation, name)
        frame = frame[frame["method"].isin(list(names))]
        changed = {"method": frame["method"].map(dict(names)).astype("str")}
        kept[name] = frame.assign(**changed, **({} if cohort is None else {"cohort": cohort})).reset_index(drop=True)
    return Evaluation(**kept)
