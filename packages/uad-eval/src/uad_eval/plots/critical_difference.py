"""Critical-difference diagram: mean ranks on a line, methods that cannot be told apart joined by a bar."""

import math

import numpy as np
from matplotlib.figure import Figure

from uad_eval.method_ranks import MethodRanks
from uad_eval.plots.style import ANOMALOUS, Picture, look, wrapped


def critical_difference_plot(found: MethodRanks, *, heading: str = "") -> Figure:
    """Draw the mean rank of every method, the critical difference, and the groups within it.

    Parameters
    ----------
    found : MethodRanks
        From :func:`uad_eval.method_ranks.method_ranks`.
    heading : str
        What was ranked by.

    Returns
    -------
    matplotlib.figure.Figure
        The best is at the top; methods under one bar do not differ.
    """
    methods, ranks = list(found.ranks.index), found.ranks.to_numpy()
    count = len(methods)
    with look():
        labels = [wrapped(f"{name}  {rank:.2f}", 40) for name, rank in found.ranks.items()]
        row = 0.18 * (1 + max(1 + label.count("\n") for label in labels))
        figure = Picture(figsize=(8.2, row * count + 0.14 * len(found.groups) + 1.7), layout="constrained")
        panel = figure.subplots()
        panel.plot(ranks, np.arange(count), "o", color="black", markersize=7, zorder=4)
        for place, group in enumerate(found.groups):
            ends = [found.ranks[group[0]], found.ranks[group[-1]]]
            at = -0.7 - 0.4 * (len(found.groups) - 1 - place)
            panel.plot(ends, [at, at], color=ANOMALOUS, linewidth=4, solid_capstyle="butt")
            for method in group:
                panel.plot([found.ranks[method]] * 2, [at, methods.index(method)], color=ANOMALOUS, linewidth=0.7)
        panel.set_yticks(range(count), labels)
        bar = -0.9 - 0.4 * max(len(found.groups), 1)
        panel.plot([1, 1 + found.critical_difference], [bar, bar], color="black", linewidth=2, marker="|", markersize=9)
        panel.text(1 + found.critical_difference, bar, f"  CD {found.critical_difference:.2f}", va="center", fontsize=9)
        panel.set_ylim(count - 0.5, bar - 0.5)
        panel.set_xlim(0.8, max(count, 1 + found.critical_difference) + 0.4)
        panel.set_xticks(range(1, count + 1))
        test = "" if math.isnan(found.friedman_p) else f"; Friedman p {found.friedman_p:.2g}"
        panel.set(xlabel=f"Mean rank over {found.people} people, 1 is best")
        panel.set_title(
            f"{heading}{': ' if heading else ''}joined methods do not differ at {100 * found.level:g} %{test}",
            loc="left",
            fontsize=10.5,
        )
        panel.grid(axis="y", visible=False)
    return figure
