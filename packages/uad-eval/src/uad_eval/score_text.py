"""What ``uad-eval score`` prints."""

import math

import pandas as pd

from uad_eval.method_ranks import MethodRanks
from uad_eval.tables import COLUMNS, clear_best

_UNITS = {"ml": " ml", "mm": " mm"}


def summary(results: pd.DataFrame, *, scans: int) -> str:
    """Write pooled figures and means over subjects of one method, a line per metric and protocol."""
    first = results.iloc[0]
    subjects = results.loc[results["aggregation"] == "subject", "subject"].nunique()
    lines = [f"{first['method']} on {first['cohort']}: {scans} scans of {subjects} subjects, {first['scope']}", ""]
    lines.append(f"{'metric':32}{'threshold from':22}{'pooled':27}mean over subjects")
    summed = results[results["aggregation"] != "subject"]
    for (metric, protocol), rows in summed.groupby(["metric", "protocol"], sort=False):
        spread = {row["aggregation"]: _spread(row) for _, row in rows.iterrows()}
        name = {"best_dice": "⌈Dice⌉ (upper bound)", "prevalence": "share of lesion voxels"}.get(metric, metric)
        cells = f"{name.replace('_', ' '):32}{protocol.replace('_', ' '):22}{spread.get('pooled', ''):27}"
        lines.append((cells + spread.get("mean", "")).rstrip())
    return "\n".join(lines)


def ranked(board: pd.DataFrame, *, scans: int) -> str:
    """Write the leaderboard of several methods, best first."""
    first = board.iloc[0]
    shown = [c for c in COLUMNS if board[c.name].notna().any() and c.compared]
    width = max(len(name) for name in board["method"]) + 2
    lines = [
        f"{len(board)} methods on {first['cohort']}: {scans} scans of {first['subjects']} subjects, {first['scope']}; "
        f"ranked by {first['ranked_by'].replace('_', ' ')}, {first['aggregation']}",
        "",
        "   # " + f"{'method':{width}}" + "".join(f"{column.heading:24}" for column in shown).rstrip(),
    ]
    for _, row in board.iterrows():
        cells = "".join(f"{_interval(row, column.name):24}" for column in shown)
        lines.append(f"{row['rank']:4} {row['method']:{width}}{cells}".rstrip())
    best = clear_best(board, first["ranked_by"])
    lines += ["", f"{best}: its interval lies above all others" if best else "no interval lies above all others"]
    return "\n".join(lines)


def compared(tests: pd.DataFrame, ranks: MethodRanks | None) -> str:
    """Write the paired tests and what the mean ranks say."""
    pairs = [f"{row['method']} − {row['other']}" for _, row in tests.iterrows()]
    width = max(map(len, pairs)) + 2
    lines = [
        f"paired tests (Wilcoxon) over {tests['people'].iloc[0]} people with a lesion, corrected for {len(tests)} "
        "pairs (Holm)",
        f"{'pair':{width}}{'difference':12}{'higher in':11}{'p':10}p, Holm",
    ]
    for pair, (_, row) in zip(pairs, tests.iterrows(), strict=True):
        share = "–" if math.isnan(row["wins"]) else f"{100 * row['wins']:.0f} %"
        lines.append(f"{pair:{width}}{row['difference']:<+12.3f}{share:11}{row['p']:<10.2g}{row['p_holm']:.2g}")
    if ranks is not None:
        means = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.ranks.items())
        lines += ["", f"mean ranks: {means}; they differ where {ranks.critical_difference:.2f} apart (Nemenyi)"]
    return "\n".join(lines)


def _spread(row: pd.Series) -> str:
    """Write a value, its interval and its unit."""
    text = f"{row['value']:.3f}" + (f" ({row['low']:.3f}–{row['high']:.3f})" if not math.isnan(row["low"]) else "")
    return text + _UNITS.get(row["unit"], "")


def _interval(row: pd.Series, name: str) -> str:
    """Write a column's value and interval."""
    if math.isnan(row[name]):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if math.isnan(low) else f" ({low:.3f}–{high:.3f})")
