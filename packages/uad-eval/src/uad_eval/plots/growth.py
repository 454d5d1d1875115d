"""A figure against the quantities that it grows with, a panel each."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import HEALTHY, NEUTRAL, Picture, look


def growth_plot(tables: Mapping[str, pd.DataFrame], *, heading: str = "AP", baseline: float | None = None) -> Figure:
    """Draw value and 95 % interval against each quantity, on a logarithmic axis.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Quantity to its table, from :func:`uad_eval.growth.growth_table`.
    heading : str
        Name of the metric.
    baseline : float, optional
        Its value for an untrained method, drawn as a dashed line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with look():
        figure = Picture(figsize=(3.6 * len(tables) + 0.4, 3.4), layout="constrained")
        panels = figure.subplots(1, len(tables), squeeze=False, sharey=True).ravel()
        for panel, (quantity, table) in zip(panels, tables.items(), strict=True):
            ends = np.stack([table["value"] - table["low"], table["high"] - table["value"]]).clip(min=0)
            panel.errorbar(table["x"], table["value"], yerr=ends, color=HEALTHY, marker="o", capsize=4, linewidth=1.8)
            if baseline is not None:
                panel.axhline(baseline, color=NEUTRAL, linestyle=(0, (4, 3)), label="intensity threshold")
            panel.set_xscale("log")
            panel.set_xticks(table["x"], [f"{x:,.0f}" for x in table["x"]])
            panel.minorticks_off()
            panel.set(xlabel=quantity)
        panels[0].set(ylabel=f"{heading}, pooled voxels, 95 % interval")
        panels[0].set_ylim(bottom=0)
        if baseline is not None:
            panels[0].legend(loc="best")
    return figure
