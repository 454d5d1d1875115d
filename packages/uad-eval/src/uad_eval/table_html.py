"""The leaderboard as HTML that needs nothing else: for a notebook's output or a page."""

import math
import re
from collections.abc import Collection, Mapping
from html import escape

import pandas as pd

from uad_eval.tables import COLUMNS, Column, clear_best

_STYLE = """
.uad-board {font: 12px/1.35 system-ui, sans-serif; color: var(--text); background: var(--ground); max-width: 100%;
  --text: #1a1a1a; --ground: #fff; --quiet: #555; --rule: #ddd; --base: #f3f3f3}
@media (prefers-color-scheme: dark) {
  .uad-board {--text: #e6e6e6; --ground: #16181b; --quiet: #a8a8a8; --rule: #3a3e44; --base: #23272c}
}
.uad-board .scroll {overflow-x: auto; max-width: 100%}
.uad-board table {border-collapse: collapse; margin: 0; font: inherit; width: auto}
.uad-board th {font-weight: 600; text-align: right; vertical-align: bottom; padding: 4px 3px; width: 1px;
  font-size: 10.5px; border: 0; border-bottom: 2px solid var(--text); background: var(--ground); color: inherit;
  white-space: normal}
.uad-board td {text-align: right; vertical-align: top; padding: 4px 3px; border: 0; background: var(--ground);
  border-bottom: 1px solid var(--rule); color: inherit; white-space: nowrap; font-variant-numeric: tabular-nums}
.uad-board table .name {text-align: left !important; white-space: normal; min-width: 7.5em; max-width: 13em;
  overflow-wrap: break-word; position: sticky; left: 0; background: var(--ground); border-right: 1px solid var(--rule);
  padding-right: 4px}
.uad-board tr.baseline td, .uad-board table tr.baseline .name {background: var(--base)}
.uad-board td.error {text-align: left; white-space: normal; overflow-wrap: anywhere}
.uad-board .between {display: block; font-size: 9.5px; font-weight: 400; color: var(--quiet)}
.uad-board .tag {font-size: 10.5px; color: var(--quiet); border: 1px solid var(--quiet); border-radius: 3px;
  padding: 0 3px; display: inline-block}
.uad-board details {margin: 8px 0 0; max-width: 72em; border: 0}
.uad-board summary {cursor: pointer; font-weight: 400}
.uad-board p {margin: 3px 0 !important; font-size: 12px}
.uad-board .choice {display: none}
@media (max-width: 700px) {
  .uad-board .choice {display: block; margin-top: 6px}
  .uad-board:not(:has(.choice input:checked)) .more {display: none}
  .uad-board .name {min-width: 6em}
}
"""
#: The first of these that there is stands on a narrow screen, beside the figure that is ranked by and its difference.
_MAIN = ("dice_healthy_validation", "dice_lesion_validation", "best_dice")


def render_html(board: pd.DataFrame, *, failed: Mapping[str, str] | None = None) -> str:
    """Draw the leaderboard as a table with a short key.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`uad_eval.tables.leaderboard`.
    failed : mapping of str to str, optional
        What could not be scored and stands below the ranks, to its error, as
        ``uad_eval.experiment.Experiment.failures`` gives it.

    Returns
    -------
    str
        A ``<div>`` with its own style, light or dark as the reader's system is, no script, nothing loaded. The best of
        a column is bold only where its interval lies apart from every other's; a column that no method has is left out.
        A narrow screen shows the main columns, and a box to tick for the others.
    """
    shown = [column for column in COLUMNS if board[column.name].notna().any()]
    bold = {column.name: clear_best(board, column.name) for column in shown if column.compared}
    ranked = next(column for column in COLUMNS if column.name == board["ranked_by"].iloc[0])
    main = {ranked.name, *[name for name in _MAIN if name in {column.name for column in shown}][:1]}
    headings = [("", "#"), ("name", "Method"), *((_kind(column, main), column.heading) for column in shown)]
    compared = len(board) > 1
    if compared:
        headings.insert(3 + shown.index(ranked), ("", f"{ranked.heading} − best, paired"))
    head = "".join(f'<th scope="col" class="{kind}">{escape(text)}</th>' for kind, text in headings)
    body = []
    for _, row in board.iterrows():
        tag = ' <span class="tag">baseline</span>' if row["baseline"] else ""
        cells = [f"<td>{row['rank']}</td>", f'<td class="name">{_breakable(row["method"])}{tag}</td>']
        for column in shown:
            best = bold.get(column.name) == row["method"]
            cells.append(_cell(row, column.name, best, column.compared, _kind(column, main)))
            if compared and column is ranked:
                cells.append(_cell(row, "difference", False, True, ""))
        body.append(f'<tr class="{"baseline" if row["baseline"] else ""}">{"".join(cells)}</tr>')
    for method, error in (failed or {}).items():
        text = f'<td class="error" colspan="{len(headings) - 2}">failed: {escape(error)}</td>'
        body.append(f'<tr><td></td><td class="name">{_breakable(method)}</td>{text}</tr>')
    key = "".join(f"<p><b>{escape(term)}</b>: {escape(text)}</p>" for term, text in _key(board, shown).items())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    choice = '<label class="choice"><input type="checkbox"> All columns</label>'
    details = f"<details><summary>What the columns say</summary>{key}</details>"
    return f'<style>{_STYLE}</style><div class="uad-board"><div class="scroll">{table}</div>{choice}{details}</div>'


def _breakable(method: str) -> str:
    """Let a long name break between its settings, not within a word."""
    return re.sub(r"([:=,+])", r"\1<wbr>", escape(method))


def _kind(column: Column, main: Collection[str]) -> str:
    """Class of a column's cells: ``more`` where a narrow screen hides it."""
    return "" if column.name in main else "more"


def _cell(row: pd.Series, name: str, bold: bool, between: bool, kind: str) -> str:
    """Value, with its interval in small type below where it is wanted and known."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    start = f'<td class="{kind}">' if kind else "<td>"
    if math.isnan(value):
        return f"{start}–</td>"
    text = f"{value:.0f}" if name == "seconds" else _number(value, signed=name == "difference")
    text = f"<b>{text}</b>" if bold else text
    if not between or math.isnan(low):
        return f"{start}{text}</td>"
    signed = name == "difference"
    between_them = " to " if signed else "–"
    ends = between_them.join(_number(end, signed) for end in (low, high))
    return f'{start}{text}<span class="between">{ends}</span></td>'


def _number(value: float, signed: bool) -> str:
    """Three decimals, with a true minus sign."""
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "−")


def _key(board: pd.DataFrame, shown: list[Column]) -> dict[str, str]:
    """Explain the terms that stand in the table."""
    first = board.iloc[0]
    pool = "over all voxels of all subjects together" if first["aggregation"] == "pooled" else "mean over subjects"
    chance = "" if math.isnan(first["prevalence"]) else f" Chance gives {first['prevalence']:.3f}, the share of lesion."
    rate = first["false_positive_rate"]
    share = "a stated share" if math.isnan(rate) else f"{100 * rate:g} %"
    came_from = first["protocol"].replace("_", " ")
    seeds = f"and of the training seeds ({board['seeds'].max()}) " if board["seeds"].max() > 1 else ""
    texts = {
        "average_precision": "average precision of the anomaly map." + chance,
        "auroc": "area under the ROC curve of the anomaly map; flatters every method where lesions are small.",
        "best_dice": "Dice at the threshold that is best on the test scans themselves: an upper bound for a "
        "threshold alone, before opening, closing and the removal of small objects, which can raise it further.",
        "dice_lesion_validation": "threshold chosen for the best Dice on labelled validation scans.",
        "dice_healthy_validation": f"threshold that {share} of healthy validation voxels exceed; no lesion was seen.",
        "dice_healthy_volume": "threshold at which healthy validation scans have a stated volume marked.",
        "dice_synthetic_validation": "threshold of the best Dice on lesions made up in healthy validation scans.",
        "iou": f"intersection over union; like the next three, with the threshold from {came_from}.",
        "lesion_f1": f"lesions found and marked regions that are lesion, by overlap; threshold from {came_from}.",
        "slice_auroc": "slices with lesion against slices without, by the ℓ2 distance of image and reconstruction.",
        "scan_auroc": "the same for whole scans.",
        "healthy_mae": "mean absolute error of reconstructed lesion-free slices; low is not by itself good.",
        "seconds": "to train, predict and score, one seed; of folds their mean.",
    }
    return {
        "Figures": f"{first['cohort']}, {first['scope']}, {first['subjects']} test subjects; {pool}.",
        "Small type": f"95 % interval from resampling the test subjects {seeds}with replacement.",
        "Bold": "best of its column, and its interval lies apart from every other's.",
        "− best, paired": "difference from the first row on the same resampled subjects; 0 outside its interval tells.",
    } | {column.heading: texts[column.name] for column in shown if column.name in texts}
