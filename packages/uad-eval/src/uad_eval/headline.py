"""The answer of a comparison in one paragraph."""

import pandas as pd


def headline(board: pd.DataFrame) -> str:
    """Say which method leads, by how much over the better baseline, and whether that is more than chance.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`uad_eval.tables.leaderboard`.

    Returns
    -------
    str
        Markdown. A lead is called clear only where the paired 95 % interval of the difference excludes 0.
    """
    metric = board["ranked_by"].iloc[0]
    best = board.iloc[0]
    text = (
        f"On **{best['cohort']}**, {best['subjects']} test people, **{best['method']}** leads: "
        f"{metric.replace('_', ' ')} {_interval(best, metric)}; chance is {best['prevalence']:.3f}."
    )
    baselines = board[board["baseline"]]
    if baselines.empty:
        return f"{text} No baseline was asked for."
    baseline = baselines.iloc[0]
    if baseline["method"] == best["method"]:
        return f"{text} **That is an untrained baseline: no trained method beat it.**"
    clear = baseline["difference_high"] < 0
    verdict = "a clear lead" if clear else "**not a clear lead: the interval holds 0**"
    low, high = -baseline["difference_high"], -baseline["difference_low"]
    return (
        f"{text} The better baseline, {baseline['method']}, has {_interval(baseline, metric)}; the paired difference "
        f"is {-baseline['difference']:+.3f} [{low:+.3f}, {high:+.3f}], {verdict}."
    )


def _interval(row: pd.Series, metric: str) -> str:
    """Value and 95 % interval."""
    return f"{row[metric]:.3f} [{row[f'{metric}_low']:.3f}, {row[f'{metric}_high']:.3f}]"
