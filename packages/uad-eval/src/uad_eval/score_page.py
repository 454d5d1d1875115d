"""One page of a scoring: table, ranks, tests and pictures in a single HTML file that opens offline."""

import base64
import os
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from uad_eval import plots
from uad_eval.errors import InputError
from uad_eval.headline import headline
from uad_eval.method_ranks import MethodRanks
from uad_eval.page import page
from uad_eval.protocols import MASK_PROTOCOLS
from uad_eval.results import SUBJECT
from uad_eval.score_files import Scored
from uad_eval.table_html import render_html
from uad_eval.tables import COLUMNS, by_pathology

_SHOWN_PAIRS = 45


def score_page(
    scored: Scored, board: pd.DataFrame, *, tests: pd.DataFrame | None = None, ranks: MethodRanks | None = None
) -> str:
    """Write the page.

    Parameters
    ----------
    scored : Scored
    board : pandas.DataFrame
        From :func:`uad_eval.tables.leaderboard`.
    tests : pandas.DataFrame, optional
        From :func:`uad_eval.paired_tests.paired_tests`, of several methods.
    ranks : MethodRanks, optional

    Returns
    -------
    str
        A whole HTML document without scripts; pictures are inside it and nothing is loaded.
    """
    evaluation, order = scored.evaluation, list(board["method"])
    first = board.iloc[0]
    shown = next(column for column in COLUMNS if column.name == first["ranked_by"])
    title = f"{first['cohort']}: {len(order)} method{'s' if len(order) > 1 else ''}, {scored.scans} scans"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{_bold(headline(board))}</p>", render_html(board)]
    if tests is not None:
        parts.append(f"<h2>Which methods differ, person by person ({escape(shown.heading)})</h2>")
        if ranks is not None:
            parts.append(_picture(plots.critical_difference_plot(ranks, heading=shown.heading), "mean ranks"))
        parts.append(_tests_table(tests))
    parts.append("<h2>Curves over all voxels</h2>")
    parts += [
        _picture(plots.precision_recall_plot(evaluation, order=order), "precision and recall"),
        _picture(plots.roc_plot(evaluation, order=order), "ROC"),
    ]
    parts.append("<h2>Person by person</h2>")
    parts.append(_picture(plots.metric_bars(board, evaluation.results, column=shown.name), shown.heading))
    if evaluation.results["pathology"].ne("").any():
        table = by_pathology(evaluation.results, metric=shown.metric, protocol=shown.protocol)
        if len(table):
            parts.append(_picture(plots.pathology_map(table, heading=shown.heading, order=order), "by pathology"))
    if scored.froc:
        parts += ["<h2>Lesions found</h2>", _picture(plots.froc_plot(scored.froc), "FROC")]
    if scored.reliability:
        parts += ["<h2>Calibration</h2>", _picture(plots.reliability_plot(scored.reliability), "reliability")]
    volumes = _volumes(evaluation.results, order)
    if volumes:
        parts += ["<h2>Volumes</h2>", *volumes]
    return page(title, "".join(parts))


def write_page(text: str, path: Path) -> None:
    """Write a page at once or not at all; InputError where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); make room or choose another folder") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _picture(figure: Figure, alternative: str) -> str:
    """Put a figure into the page."""
    data = base64.b64encode(plots.png(figure)).decode("ascii")
    return f'<p><img alt="{escape(alternative)}" src="data:image/png;base64,{data}"></p>'


def _bold(text: str) -> str:
    """Turn the headline's pairs of stars into bold."""
    pieces = escape(text).split("**")
    return "".join(f"<b>{piece}</b>" if number % 2 else piece for number, piece in enumerate(pieces))


def _tests_table(tests: pd.DataFrame) -> str:
    """Draw the pairs, the surest differences first."""
    ordered = tests.sort_values("p_holm", kind="stable")
    rows = "".join(
        f"<tr><td>{escape(row['method'])} − {escape(row['other'])}</td><td>{row['difference']:+.3f}</td>"
        f"<td>{100 * row['wins']:.0f} %</td><td>{row['p']:.2g}</td><td>{row['p_holm']:.2g}</td></tr>"
        for _, row in ordered.head(_SHOWN_PAIRS).iterrows()
    )
    head = "".join(f"<th>{name}</th>" for name in ("Pair", "Mean difference", "Higher in", "p", "p, Holm"))
    people, more = tests["people"].iloc[0], len(tests) - _SHOWN_PAIRS
    note = (
        f"Wilcoxon's signed-rank test over {people} people, two-sided; the last column is corrected for "
        f"{len(tests)} pairs.{f' {more} more pairs are not shown.' if more > 0 else ''}"
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div><p>{note}</p>'


def _volumes(results: pd.DataFrame, order: list[str]) -> list[str]:
    """Draw marked against true volumes, a picture per method and threshold."""
    own = results[results["aggregation"] == SUBJECT]
    pictures = []
    for method in order:
        of_method = own[own["method"] == method]
        true = of_method[of_method["metric"] == "lesion_volume"].set_index("subject")["value"]
        for protocol in MASK_PROTOCOLS:
            chosen = (of_method["metric"] == "marked_volume") & (of_method["protocol"] == protocol)
            marked = of_method[chosen].set_index("subject")["value"]
            if len(marked):
                title = f"{method}, threshold from {protocol.replace('_', ' ')}"
                figure = plots.bland_altman_plot(marked, true[marked.index], title=title)
                pictures.append(_picture(figure, title))
    return pictures
