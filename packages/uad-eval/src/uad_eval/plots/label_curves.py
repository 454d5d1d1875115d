"""Figures against the number of labelled scans, a panel each, on a logarithmic axis that begins with none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import NEUTRAL, Picture, look, method_lines


@dataclass(frozen=True)
class LabelPanel:
    """One panel.

    Attributes
    ----------
    ylabel : str
        Of its axis.
    curves : mapping of str to pandas.DataFrame
        Training to its table from :func:`uad_eval.label_gain.label_curve`.
    levels : mapping of str to float
        Name to value of what does not depend on the number, drawn as horizontal lines.
    clear : tuple of float
        Numbers at which the paired difference excludes 0, marked by a star.
    """

    ylabel: str
    curves: Mapping[str, pd.DataFrame]
    levels: Mapping[str, float] = field(default_factory=dict)
    clear: tuple[float, ...] = ()


_LEVELS = ((0, (4, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)))


def label_curves(panels: Mapping[str, LabelPanel]) -> Figure:
    """Draw the panels side by side.

    Parameters
    ----------
    panels : mapping of str to LabelPanel
        Title to panel, at least one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with look():
        figure = Picture(figsize=(4.3 * len(panels) + 0.4, 4.2), layout="constrained")
        names = list(dict.fromkeys(name for panel in panels.values() for name in panel.curves))
        lines = method_lines(names)
        levels = dict.fromkeys(name for panel in panels.values() for name in panel.levels)
        styles = dict(zip(levels, cycle(_LEVELS), strict=False))
        found = {}
        for axis, (title, panel) in zip(
            figure.subplots(1, len(panels), squeeze=False).ravel(), panels.items(), strict=True
        ):
            for name, table in panel.curves.items():
                colour, line = lines[name]
                axis.fill_between(table["x"], table["low"], table["high"], color=colour, alpha=0.18, linewidth=0)
                (found[name],) = axis.plot(table["x"], table["value"], color=colour, linestyle=line, marker="o")
            for name, level in panel.levels.items():
                found[name] = axis.axhline(level, color=NEUTRAL, linestyle=styles[name])
            ticks = np.unique(np.concatenate([table["x"] for table in panel.curves.values()]))
            axis.set_xscale("symlog", base=2, linthresh=1)
            axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
            axis.minorticks_off()
            axis.set(title=title, xlabel="labelled scans", ylabel=panel.ylabel)
            top = max(table["high"].max() for table in panel.curves.values())
            for x in panel.clear:
                axis.annotate("*", (x, top), ha="center", va="bottom")
            axis.set_ylim(bottom=0)
            axis.margins(y=0.12)
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4)
    return figure
