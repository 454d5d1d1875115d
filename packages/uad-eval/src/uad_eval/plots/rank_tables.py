"""Ranks of methods under several ways to judge them, as shaded tables."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.errors import InputError
from uad_eval.plots.style import Picture, in_order, look, wrapped


def rank_tables(views: Mapping[str, pd.DataFrame], *, order: Sequence[str] | None = None) -> Figure:
    """Draw a table per view: methods as rows, ways to judge as columns, the rank in large and the value in small type.

    Parameters
    ----------
    views : mapping of str to pandas.DataFrame
        Title to ``method, way, value, rank``, as :func:`uad_eval.rank_moves.two_views` gives them; NaN stays white.
    order : sequence of str, optional
        Methods from the top.

    Returns
    -------
    matplotlib.figure.Figure
        The better the rank, the darker.

    Raises
    ------
    InputError
        There is no view.
    """
    if not views:
        raise InputError("rank tables: expected one view or more, found none")
    methods = in_order([name for view in views.values() for name in view["method"]], order)
    widest = max(view["way"].nunique() for view in views.values())
    with look():
        height = 0.44 * len(methods) + 1.25
        figure = Picture(figsize=(0.98 * widest + 2.6, height * len(views)), layout="constrained")
        for panel, (title, view) in zip(np.ravel([figure.subplots(len(views))]), views.items(), strict=True):
            ways = list(dict.fromkeys(view["way"]))
            ranks = view.pivot(index="method", columns="way", values="rank").reindex(index=methods, columns=ways)
            panel.imshow(ranks, cmap="Blues_r", vmin=0, vmax=1.15 * len(methods), aspect="auto")
            for _, cell in view.dropna(subset=["rank"]).iterrows():
                place = ways.index(cell["way"]), methods.index(cell["method"])
                colour = "white" if cell["rank"] < 0.5 * len(methods) else "black"
                at = {"xy": place, "textcoords": "offset points", "ha": "center", "color": colour}
                panel.annotate(f"{cell['rank']:.0f}", xytext=(0, -1), va="bottom", fontsize=11, **at)
                panel.annotate(f"{cell['value']:.2f}", xytext=(0, -2), va="top", fontsize=8, **at)
            panel.set_xticks(
                range(len(ways)), [textwrap.fill(way, 12, break_long_words=False) for way in ways], fontsize=8.5
            )
            panel.set_yticks(range(len(methods)), [wrapped(name) for name in methods])
            panel.set_title(title, loc="left", fontsize=11)
            panel.set_xlim(-0.5, widest - 0.5)
            panel.grid(False)
            panel.spines[:].set_visible(False)
            panel.tick_params(length=0)
    return figure
