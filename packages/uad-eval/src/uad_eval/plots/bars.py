"""One metric over the methods, with intervals and subjects; and over the pathologies."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import NEUTRAL, Picture, in_order, look, method_lines, wrapped
from uad_eval.results import SUBJECT
from uad_eval.tables import COLUMNS


def metric_bars(board: pd.DataFrame, results: pd.DataFrame, *, column: str = "average_precision") -> Figure:
    """Draw a metric's value and 95 % interval for each method, with a dot for each subject.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`uad_eval.tables.leaderboard`; its order is kept, best at the top.
    results : pandas.DataFrame
        Table ``results``, for the subjects' own figures (mean over seeds).
    column : str
        Name of one of the leaderboard's columns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    column_of = next(c for c in COLUMNS if c.name == column)
    protocol = board["protocol"].iloc[0] if column_of.protocol == "chosen" else column_of.protocol
    own = results[
        (results["metric"] == column_of.metric)
        & (results["protocol"] == protocol)
        & (results["aggregation"] == SUBJECT)
    ]
    each = own.groupby(["method", "subject"], as_index=False)["value"].mean().dropna()
    with look():
        figure = Picture(figsize=(8.2, 0.62 * len(board) + 1.3), layout="constrained")
        panel = figure.subplots()
        for place, (_, row) in enumerate(board.iterrows()):
            colour = NEUTRAL if row["baseline"] else method_lines(list(board["method"]))[row["method"]][0]
            panel.barh(place, row[column], height=0.62, color=colour, alpha=0.35)
            if np.isfinite(row[f"{column}_low"]):
                ends = [[row[f"{column}_low"], row[f"{column}_high"]], [place, place]]
                panel.plot(*ends, color="black", linewidth=2.2, solid_capstyle="butt", zorder=4)
            panel.plot(row[column], place, "|", color="black", markersize=16, markeredgewidth=2, zorder=4)
            values = np.sort(each.loc[each["method"] == row["method"], "value"].to_numpy())
            spread = 0.22 * np.sin(np.arange(values.size) * 2.4)
            panel.plot(values, place + spread, "o", color=colour, markersize=4, markeredgewidth=0, alpha=0.8)
        panel.set_yticks(range(len(board)), [wrapped(name) for name in board["method"]])
        panel.set(xlabel=f"{column_of.heading}  (bar and line: {_aggregated(board)}, 95 % interval; dots: subjects)")
        panel.set_ylim(len(board) - 0.5, -0.5)
        panel.grid(axis="y", visible=False)
        panel.set_xlim(0, min(panel.get_xlim()[1], 1.02) if column_of.compared else None)
    return figure


def pathology_map(table: pd.DataFrame, *, heading: str = "AP", order: Sequence[str] | None = None) -> Figure:
    """Draw a metric by method and pathology as a shaded table.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`uad_eval.tables.by_pathology`.
    heading : str
        Name of the metric.
    order : sequence of str, optional
        Methods from the top.

    Returns
    -------
    matplotlib.figure.Figure
    """
    methods = in_order(list(table["method"]), order)
    pathologies = list(dict.fromkeys(table.sort_values("subjects", ascending=False, kind="stable")["pathology"]))
    values = table.pivot(index="method", columns="pathology", values="value").loc[methods, pathologies].to_numpy()
    subjects = table.groupby("pathology")["subjects"].max()
    with look():
        figure = Picture(figsize=(1.35 * len(pathologies) + 3.2, 0.62 * len(methods) + 1.4), layout="constrained")
        panel = figure.subplots()
        shown = panel.imshow(values, cmap="cividis", vmin=0, vmax=max(float(np.nanmax(values)), 1e-6), aspect="auto")
        for _, row in table.iterrows():
            x, y = pathologies.index(row["pathology"]), methods.index(row["method"])
            dark = row["value"] < 0.55 * shown.get_clim()[1]
            text = f"{row['value']:.2f}"
            if np.isfinite(row["low"]):
                text += f"\n{row['low']:.2f}–{row['high']:.2f}"
            panel.text(x, y, text, ha="center", va="center", color="white" if dark else "black", fontsize=9)
        panel.set_xticks(range(len(pathologies)), [f"{p or 'unnamed'}\n{subjects[p]} subjects" for p in pathologies])
        panel.set_yticks(range(len(methods)), [wrapped(name) for name in methods])
        panel.set_title(f"{heading}, mean over subjects and its 95 % interval", loc="left", fontsize=11)
        panel.grid(False)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
    return figure


def _aggregated(board: pd.DataFrame) -> str:
    """Say what the bars are."""
    return "pooled voxels" if board["aggregation"].iloc[0] == "pooled" else "mean over subjects"
