"""An ablation: steps that are added one by one, each against the one before."""

from collections.abc import Sequence

import pandas as pd

from uad_eval.comparison import Comparison, check_same_subjects
from uad_eval.errors import InputError
from uad_eval.results import POOLED, Evaluation


def ablation_table(evaluation: Evaluation, steps: Sequence[str], *, metric: str = "average_precision") -> pd.DataFrame:
    """Set a pooled figure of each step beside what the step gains.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    steps : sequence of str
        Methods, from the least to the whole; at least one.
    metric : str
        A ranking metric.

    Returns
    -------
    pandas.DataFrame
        A row per step: ``method``; ``value`` and its 95 % interval ``low, high``; ``gain``, the paired difference from
        the step before, with ``gain_low, gain_high``, NaN in the first row.

    Raises
    ------
    InputError
        No step, or steps that were not scored on the same people.
    """
    if not steps:
        raise InputError("steps: expected at least one")
    check_same_subjects(evaluation.results, list(steps))
    comparison = Comparison(evaluation)
    figures = [(step, metric, "", POOLED) for step in steps]
    rows = []
    for number, figure in enumerate(figures):
        row = {"method": figure[0], **comparison.over_seeds(figure)._asdict()}
        if number:
            gain = comparison.difference(figure, figures[number - 1])
            row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=["method", "value", "low", "high", "gain", "gain_low", "gain_high"])


def ablation_finding(table: pd.DataFrame) -> str:
    """Say what each step gains.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`ablation_table`, at least two steps.

    Returns
    -------
    str
        Markdown. A gain is called clear only where its paired 95 % interval excludes 0.
    """
    first, added = table.iloc[0], table.iloc[1:]
    parts = []
    for _, row in added.iterrows():
        clear = row["gain_low"] > 0 or row["gain_high"] < 0
        gain = f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]".replace("-", "−")
        parts.append(f"**{row['method']}** {gain}, {'clear' if clear else 'not clear'}")
    grows = (added["gain"] >= 0).all()
    shape = "Every step gains" if grows else "Not every step gains"
    return f"**{first['method']}** alone has {first['value']:.3f}. {shape}: {'; '.join(parts)}."
