"""Precision–recall and ROC curves of all methods, and the course of their training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uad_eval.plots.style import ANOMALOUS, HEALTHY, NEUTRAL, Picture, hide_spare, in_order, look, method_lines, wrapped
from uad_eval.results import POOLED, Evaluation


def precision_recall_plot(evaluation: Evaluation, *, order: Sequence[str] | None = None) -> Figure:
    """Draw precision against recall over all voxels, a line per method and seed, with chance as a dashed line.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    order : sequence of str, optional
        Methods in the order of legend and colours, such as the leaderboard's.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with look():
        figure, panel = _panel(
            "Recall (share of the lesion that is found)", "Precision (share of the mask that is lesion)"
        )
        _lines(panel, evaluation, "precision_recall", "average_precision", "AP", order)
        prevalence = evaluation.results.loc[evaluation.results["metric"] == "prevalence", "value"].mean()
        panel.axhline(prevalence, color=NEUTRAL, linestyle=(0, (4, 3)), label=f"chance ({prevalence:.3f})")
        _legend(figure)
    return figure


def roc_plot(evaluation: Evaluation, *, order: Sequence[str] | None = None) -> Figure:
    """Draw the ROC curves of all methods; parameters as :func:`precision_recall_plot`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with look():
        figure, panel = _panel("False positive rate (share of healthy voxels marked)", "True positive rate")
        _lines(panel, evaluation, "roc", "auroc", "AUROC", order)
        panel.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=(0, (4, 3)), label="chance (0.500)")
        _legend(figure)
    return figure


def training_curves(
    histories: Mapping[str, pd.DataFrame],
    *,
    x: str = "step",
    train: str = "train_loss",
    validation: str = "val_loss",
) -> Figure:
    """Draw the loss on training and on healthy validation slices, a panel per run.

    Parameters
    ----------
    histories : mapping of str to pandas.DataFrame
        By name of the run; from ``history.csv``.
    x, train, validation : str
        Columns; a line is left out where its column is missing.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = min(3, max(len(histories), 1))
    rows = -(-max(len(histories), 1) // columns)
    with look():
        figure = Picture(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, (name, history) in zip(panels, histories.items(), strict=False):
            for column, label, colour, line in (
                (train, "training", HEALTHY, "-"),
                (validation, "validation", ANOMALOUS, "--"),
            ):
                if column in history:
                    panel.plot(history[x], history[column], color=colour, linestyle=line, marker=".", label=label)
            panel.set_title(wrapped(name, 30), loc="left", fontsize=11)
            panel.set(xlabel=x.capitalize(), ylabel="Loss")
        hide_spare(list(panels), len(histories))
        if histories:
            panels[0].legend()
    return figure


def _panel(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Make a square panel over 0..1."""
    figure = Picture(figsize=(5.4, 5.2), layout="constrained")
    panel = figure.subplots()
    panel.set(
        xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.005), ylim=(0, 1.005), aspect="equal", xticks=np.linspace(0, 1, 6)
    )
    return figure, panel


def _legend(figure: Figure) -> None:
    """Put the legend at the right of the panel, in as much room as its longest line takes."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.set_figwidth(
        figure.get_figwidth() + 0.7 + 0.09 * max(len(line) for label in labels for line in label.split("\n"))
    )
    figure.legend(handles, labels, loc="outside right upper")


def _lines(
    panel: Axes, evaluation: Evaluation, curve: str, metric: str, short: str, order: Sequence[str] | None
) -> None:
    """Draw one line per method and seed, one legend entry per method."""
    points = evaluation.curves[evaluation.curves["curve"] == curve]
    results = evaluation.results
    values = (
        results[(results["metric"] == metric) & (results["aggregation"] == POOLED)].groupby("method")["value"].mean()
    )
    methods = in_order(list(points["method"]), order)
    drawstyle = "steps-pre" if curve == "precision_recall" else "default"
    for method, (colour, line) in method_lines(methods).items():
        label: str | None = wrapped(f"{method}, {short} {values[method]:.3f}", 40)
        for _, one in points[points["method"] == method].groupby("seed"):
            panel.plot(
                one["x"],
                one["y"],
                color=colour,
                linestyle=line,
                drawstyle=drawstyle,
                linewidth=1.8,
                alpha=0.9,
                label=label,
            )
            label = None
