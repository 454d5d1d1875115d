"""How ranks of methods change with the way they are judged: the post-processing pipeline, and the protocol."""

from collections.abc import Sequence

import pandas as pd

from uad_eval.errors import InputError
from uad_eval.protocols import (
    HEALTHY_VALIDATION,
    HEALTHY_VOLUME,
    LESION_VALIDATION,
    ORACLE,
    SYNTHETIC_VALIDATION,
)

POOLED_AP, MEAN_AP, LESION_ROWS_AP = "pooled_ap", "mean_ap", "lesion_rows_ap"
#: What a protocol's figure is, in words.
HEADINGS = {
    POOLED_AP: "AP, pooled",
    MEAN_AP: "AP, mean over people",
    LESION_ROWS_AP: "AP, with lesion only",
    LESION_VALIDATION: "Dice, lesion validation",
    HEALTHY_VALIDATION: "Dice, healthy rate",
    HEALTHY_VOLUME: "Dice, healthy volume",
    SYNTHETIC_VALIDATION: "Dice, made-up lesions",
    ORACLE: "⌈Dice⌉",
}


def rank_table(judged: pd.DataFrame) -> pd.DataFrame:
    """Rank the methods under every pipeline and protocol.

    Parameters
    ----------
    judged : pandas.DataFrame
        ``method, pipeline, protocol, value``, higher is better, with one row or more (seeds) of each.

    Returns
    -------
    pandas.DataFrame
        ``method, pipeline, protocol, value`` (mean over seeds) and ``rank``, 1 is best, equals share the better one;
        NaN where a value is missing, and where all are equal, as of masks that are all empty.

    Raises
    ------
    InputError
        A column is missing.
    """
    names = ["method", "pipeline", "protocol"]
    missing = [name for name in (*names, "value") if name not in judged]
    if missing:
        raise InputError(f"ranks: expected columns {', '.join((*names, 'value'))}, found none named {missing[0]!r}")
    table = judged.groupby(names, sort=False, as_index=False)["value"].mean()
    ways = table.groupby(["pipeline", "protocol"])["value"]
    ranks = ways.rank(method="min", ascending=False)
    return table.assign(rank=ranks.where((ways.transform("nunique") > 1) | (ways.transform("size") == 1)))


def rank_finding(ranks: pd.DataFrame) -> str:
    """Say how far the most moved method moves, and how many methods lead under some way of judging.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From :func:`rank_table`.

    Returns
    -------
    str
        Markdown.
    """
    known = ranks.dropna(subset=["rank"])
    ways = len(known[["pipeline", "protocol"]].drop_duplicates())
    ends = known.groupby("method", sort=False)["rank"].agg(["min", "max"]).astype(int)
    if len(ends) < 2:
        return "Ranks need two methods or more."
    moved = (ends["max"] - ends["min"]).idxmax()
    best, last = ends.loc[moved]
    leaders = known[known["rank"] == 1].groupby("method").size().sort_values(ascending=False)
    most, times = leaders.index[0], int(leaders.iloc[0])
    leads = f"**{most}** leads in {times} of {ways} ways to judge the same maps"
    others = f", {_listed(leaders.index[1:])} in others" if len(leaders) > 1 else ""
    if best == last:
        return f"{leads}{others}. No method changes its place."
    places = f"{last - best} place{'s' if last - best > 1 else ''}"
    return f"{leads}{others}. **{moved}** moves most: {places}, from {best} to {last} of {len(ends)}."


def two_views(ranks: pd.DataFrame, pipeline: str) -> dict[str, pd.DataFrame]:
    """Choose what a figure shows: each pipeline by one protocol, and each protocol with one pipeline.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From :func:`rank_table`.
    pipeline : str
        Of the second view; its name as the user gave it.

    Returns
    -------
    dict of str to pandas.DataFrame
        By title: ``method, way`` (a heading), ``value, rank``.
    """
    shown = next((name for name in ranks["pipeline"].unique() if name in (pipeline, f"none ({pipeline})")), pipeline)
    pooled = ranks[ranks["protocol"] == POOLED_AP]
    own = ranks[ranks["pipeline"] == shown]
    return {
        f"Pipelines, by {HEADINGS[POOLED_AP]}": pooled.assign(way=pooled["pipeline"]),
        f"Protocols, with {shown}": own.assign(way=own["protocol"].map(HEADINGS)),
    }


def _listed(names: Sequence[str] | pd.Index) -> str:
    """Join names with commas and an and."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else str(last)
