"""Tables in a sentence: what they show, and whether it is more than chance. All return Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd

from uad_eval.comparison import paired_difference
from uad_eval.lesion_bands import ALL as ALL_LESIONS
from uad_eval.pathology_differences import ALL
from uad_eval.results import MEAN, Evaluation

_MATTERS = 0.01  # of average precision


def leave_out_finding(differences: pd.DataFrame) -> str:
    """Say which lost kind is missed most.

    Parameters
    ----------
    differences : pandas.DataFrame
        From :func:`uad_eval.pathology_differences.differences_by_pathology`, a method per kind that was left out, the
        reference being trained on all.

    Returns
    -------
    str
        A difference is called clear only where its 95 % interval excludes 0; how many would be so by chance is said.
        Clear ones that are too small to matter are counted, not listed.
    """
    together = differences[differences["pathology"] == ALL].sort_values("value", kind="stable")
    worst, each = together.iloc[0], differences[differences["pathology"] != ALL]
    clear = each[(each["high"] < 0) | (each["low"] > 0)].sort_values("value", kind="stable")
    text = (
        f"Over all {worst['subjects']} people the lowest average precision is that **{worst['method']}**: "
        f"{_difference(worst)} against all kinds, {_verdict(worst)}. "
    )
    if clear.empty:
        return text + f"By pathology none of {len(each)} intervals excludes 0."
    large = clear[clear["value"].abs() >= _MATTERS]
    listed = [f"{row['method']}, {row['pathology']}: {_difference(row)}" for _, row in large.iterrows()]
    if len(large) < len(clear):
        listed.append(f"{len(clear) - len(large)} of less than {_MATTERS}")
    return text + (
        f"By pathology {len(clear)} of {len(each)} intervals exclude 0, where chance alone would give about "
        f"{0.05 * len(each):.0f}: {'; '.join(listed)}."
    )


def alone_finding(alone: pd.DataFrame, *, reference: str) -> str:
    """Say which kind does best by itself for each pathology, and for how many it does better than all kinds together.

    Parameters
    ----------
    alone : pandas.DataFrame
        From :func:`uad_eval.tables.by_pathology`, a method per kind and the reference.
    reference : str
        The method that is trained on all kinds.

    Returns
    -------
    str
        Means only; the intervals stand in the figure.
    """
    kinds = alone[(alone["method"] != reference) & (alone["pathology"] != ALL)]
    best = kinds.loc[kinds.groupby("pathology")["value"].idxmax()]
    together = alone[alone["method"] == reference].set_index("pathology")["value"]
    better = int((best["value"].to_numpy() > together[best["pathology"]].to_numpy()).sum())
    listed = "; ".join(f"{row['pathology']}: **{row['method']}**, {row['value']:.2f}" for _, row in best.iterrows())
    return (
        f"The best single kind, by mean average precision: {listed}. It exceeds all kinds together in {better} of "
        f"{len(best)} pathologies; the best of {kinds['method'].nunique()} is flattered by having been picked."
    )


def growth_finding(table: pd.DataFrame, what: str) -> str:
    """Say what the most of a quantity gains over the least.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`uad_eval.growth.growth_table`.
    what : str
        The quantity, as "training steps".

    Returns
    -------
    str
        One sentence; a gain is called clear only where its paired 95 % interval excludes 0.
    """
    first, last = table.iloc[0], table.iloc[-1]
    gain = pd.Series({"value": last["gain"], "low": last["gain_low"], "high": last["gain_high"]})
    return (
        f"From {first['x']:,.0f} to {last['x']:,.0f} {what}, average precision goes from {first['value']:.3f} to "
        f"{last['value']:.3f}: {_difference(gain)}, {_verdict(gain)}."
    )


def peak_finding(table: pd.DataFrame, name: str) -> str:
    """Say at which size a figure is highest, and whether it is clearly lower at both ends.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`uad_eval.growth.growth_table`, against the best.
    name : str
        Of what was varied.

    Returns
    -------
    str
        A sentence or two; a difference is called clear only where its paired 95 % interval excludes 0.
    """
    best = table.loc[table["value"].idxmax()]
    ends = [row for _, row in table.iloc[[0, -1]].iterrows() if row["x"] != best["x"]]
    place = "inside the range" if len(ends) == 2 else "**at the end of the range**"
    text = f"**{name}**: average precision is highest at {best['x']:,.0f}, {_interval(best)}, {place}."
    for end in ends:
        lost = pd.Series({"value": end["gain"], "low": end["gain_low"], "high": end["gain_high"]})
        text += f" At {end['x']:,.0f} it is {end['value']:.3f}: {_difference(lost)}, {_verdict(lost)}."
    return text


def collapse_finding(use: pd.DataFrame) -> str:
    """Say how many units of the longest code each method uses.

    Parameters
    ----------
    use : pandas.DataFrame
        ``method, x, value``: the length of the code and the number of units in use, mean over seeds.

    Returns
    -------
    str
        One sentence.
    """
    longest = use[use["x"] == use["x"].max()].sort_values("value", ascending=False, kind="stable")
    listed = "; ".join(f"**{row['method']}** {row['value']:.0f}" for _, row in longest.iterrows())
    return f"Units in use of a code of {use['x'].max():,.0f}: {listed}."


def bands_finding(bands: pd.DataFrame) -> str:
    """Say what share of lesions is found, and in which bands of size and of contrast it is least.

    Parameters
    ----------
    bands : pandas.DataFrame
        From :func:`uad_eval.lesion_bands.found_by_band`.

    Returns
    -------
    str
        Two sentences.
    """
    total = bands[(bands["size"] == ALL_LESIONS) & (bands["contrast"] == ALL_LESIONS)].iloc[0]
    text = (
        f"Of {total['lesions']} lesions of {total['people']} people {total['value']:.0%} are found "
        f"[{total['low']:.0%}, {total['high']:.0%}]."
    )
    parts = []
    for of, other in (("size", "contrast"), ("contrast", "size")):
        margin = bands[(bands[other] == ALL_LESIONS) & (bands[of] != ALL_LESIONS)]
        if len(margin) > 1:
            least = margin.loc[margin["value"].idxmin()]
            parts.append(f"by {of} in {least[of]} ({least['value']:.0%} of {least['lesions']})")
    return text + (f" Fewest are found {' and '.join(parts)}." if parts else "")


def transfer_finding(matrix: pd.DataFrame) -> str:
    """Say what training elsewhere costs.

    Parameters
    ----------
    matrix : pandas.DataFrame
        From :func:`uad_eval.experiment.transfer_matrix`.

    Returns
    -------
    str
        A sentence per pair of cohorts.
    """
    elsewhere = matrix[(matrix["row"] != matrix["column"]) & matrix["trained"]]
    sentences = []
    for _, row in elsewhere.iterrows():
        lost = pd.Series({"value": row["difference"], "low": row["difference_low"], "high": row["difference_high"]})
        sentences.append(
            f"On {row['column']}, training on {row['row']} in place of {row['column']} itself changes average "
            f"precision by {_difference(lost)}, {_verdict(lost)}."
        )
    return " ".join(sentences)


def label_gain_finding(gain: pd.DataFrame, what: str) -> str:
    """Say at which numbers of labelled scans pre-training gains, and where it no longer does.

    Parameters
    ----------
    gain : pandas.DataFrame
        From :func:`uad_eval.label_gain.label_gain`, pre-trained less from scratch.
    what : str
        Name of the figure.

    Returns
    -------
    str
        A difference is called clear only where its paired 95 % interval excludes 0.
    """
    listed = "; ".join(f"{row['x']:,.0f}: {_difference(row)}, {_verdict(row)}" for _, row in gain.iterrows())
    return f"**{what}**, pre-trained less from scratch, by number of labelled scans: {listed}."


def order_finding(
    evaluation: Evaluation,
    pairs: Sequence[tuple[str, str]],
    *,
    metric: str,
    protocol: str,
    published: Mapping[tuple[str, str], float],
) -> str:
    """Say for pairs of methods which is better, and whether it is so in a paper.

    Parameters
    ----------
    evaluation : Evaluation
        Of one scope; each cohort by itself.
    pairs : sequence of (str, str)
        The first of each is better in the paper.
    metric, protocol : str
        Of the figure; means over people are compared.
    published : mapping of (str, str) to float
        Cohort and method to the paper's figure.

    Returns
    -------
    str
        A list item per cohort and pair: the paired difference with its 95 % interval, and the paper's. The order counts
        as reproduced or reversed only where the interval excludes 0.
    """
    lines = []
    for cohort in dict.fromkeys(evaluation.results["cohort"]):
        own = evaluation.select(cohort=cohort)
        for better, worse in pairs:
            found = paired_difference(own, better, worse, metric=metric, protocol=protocol, aggregation=MEAN)
            row = pd.Series(found._asdict())
            verdict = "reproduced" if row["low"] > 0 else "**reversed**" if row["high"] < 0 else "not decided"
            known = all((cohort, name) in published for name in (better, worse))
            paper = f"; paper {published[cohort, better] - published[cohort, worse]:+.3f}" if known else ""
            found_text = f"{_difference(row)}{paper.replace('-', '−')}"
            lines.append(f"- {cohort}, **{better}** over {worse}: {found_text}: {verdict}.")
    return "\n".join(lines)


def _interval(row: pd.Series) -> str:
    """Value and interval."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _difference(row: pd.Series) -> str:
    """Signed value and interval."""
    return f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]".replace("-", "−")


def _verdict(row: pd.Series) -> str:
    """Whether the interval excludes 0."""
    return "a clear difference" if row["low"] > 0 or row["high"] < 0 else "not a clear difference"
