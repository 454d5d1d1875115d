"""A figure of each person, method by method, with the mean and what a paper prints."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.errors import InputError
from uad_eval.plots.style import COLOURS, NEUTRAL, Picture, look
from uad_eval.results import SUBJECT, Evaluation


def people_dots(
    evaluation: Evaluation,
    *,
    metric: str,
    protocol: str = "",
    ylabel: str,
    published: Mapping[tuple[str, str], float] | None = None,
) -> Figure:
    """Draw a panel per cohort: a dot per person, a bar at their mean, a diamond for the published figure.

    Parameters
    ----------
    evaluation : Evaluation
        Of one scope; a person's figure is the mean over seeds. People stand at the same place in every method's column.
    metric, protocol : str
        Of the rows.
    ylabel : str
        Name of the figure.
    published : mapping of (str, str) to float, optional
        Cohort and method to figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        There is no such figure.
    """
    results = evaluation.results
    rows = results[
        (results["metric"] == metric) & (results["protocol"] == protocol) & (results["aggregation"] == SUBJECT)
    ].dropna(subset=["value"])
    if rows.empty:
        raise InputError(f"metric {metric!r}, protocol {protocol!r}: expected figures of single people, found none")
    cohorts = list(dict.fromkeys(rows["cohort"]))
    with look():
        width = max(4.0, 0.95 * rows["method"].nunique())
        figure = Picture(figsize=(1.6 + width * len(cohorts), 4.0), layout="constrained")
        panels = figure.subplots(1, len(cohorts), squeeze=False, sharey=True)[0]
        for panel, cohort in zip(panels, cohorts, strict=True):
            own = rows[rows["cohort"] == cohort]
            each = own.groupby(["subject", "method"], sort=False)["value"].mean().unstack()
            _column_per_method(panel, each[list(dict.fromkeys(own["method"]))], cohort, published or {})
            panel.set_title(f"{cohort}, {len(each)} people", loc="left")
        panels[0].set_ylabel(ylabel)
        panels[0].set_ylim(bottom=0)
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=3)
    return figure


def _column_per_method(panel, each: pd.DataFrame, cohort: str, published: Mapping[tuple[str, str], float]) -> None:  # type: ignore[no-untyped-def]
    """Draw people as dots, the mean as a bar, the paper's figure as a diamond."""
    places = np.linspace(-0.22, 0.22, len(each)) if len(each) > 1 else np.zeros(1)
    for column, method in enumerate(each):
        values = each[method].to_numpy()
        panel.plot(column + places, values, "o", color=COLOURS[0], alpha=0.55, markersize=5, label="a person")
        panel.hlines(np.nanmean(values), column - 0.32, column + 0.32, color=COLOURS[-1], linewidth=2, label="mean")
        if (cohort, method) in published:
            panel.plot(column, published[cohort, method], "D", color=COLOURS[1], markersize=8, label="published mean")
    panel.set_xticks(range(each.shape[1]), [method.replace(" ", "\n") for method in each])
    panel.grid(axis="x", visible=False)
    panel.tick_params(axis="x", color=NEUTRAL)
