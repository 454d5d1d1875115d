"""Figures of several methods against one size, such as the length of the code."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import NEUTRAL, Picture, look, method_lines, wrapped


def size_curves(
    tables: Mapping[str, pd.DataFrame],
    *,
    xlabel: str,
    ylabel: str,
    level: tuple[str, float] | None = None,
    at_most_x: bool = False,
) -> Figure:
    """Draw a line per method against a size that doubles from tick to tick.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Method to ``x`` (above 0) and ``value``, and perhaps ``low, high``, which are shaded between.
    xlabel, ylabel : str
        Of the axes.
    level : tuple of str and float, optional
        Name and value of something that does not depend on the size, drawn as a dashed line.
    at_most_x : bool
        The value counts parts of the size: draw it on a logarithmic axis as well, from 0, with the line on which all
        parts count.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with look():
        figure = Picture(figsize=(7.4, 4.0), layout="constrained")
        panel = figure.subplots()
        for name, (colour, line) in method_lines(list(tables)).items():
            table = tables[name]
            panel.plot(
                table["x"], table["value"], color=colour, linestyle=line, marker="o", linewidth=1.8, label=wrapped(name)
            )
            if "low" in table:
                panel.fill_between(table["x"], table["low"], table["high"], color=colour, alpha=0.12, linewidth=0)
        sizes = np.unique(np.concatenate([table["x"] for table in tables.values()]))
        if level is not None:
            panel.axhline(level[1], color=NEUTRAL, linestyle=(0, (4, 3)), label=level[0])
        if at_most_x:
            panel.plot(sizes, sizes, color=NEUTRAL, linestyle=(0, (1, 2)), label="all of them")
            panel.set_yscale("symlog", base=2, linthresh=1)
            panel.set_yticks([0, *sizes], ["0", *(f"{size:,.0f}" for size in sizes)])
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        panel.minorticks_off()
        panel.set(xlabel=xlabel, ylabel=ylabel)
        panel.set_ylim(bottom=0)
        handles, labels = panel.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
    return figure
