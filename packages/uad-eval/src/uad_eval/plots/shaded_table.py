"""A table of figures with their intervals, shaded by value."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import Picture, in_order, look, wrapped


def shaded_table(
    table: pd.DataFrame,
    *,
    title: str,
    rows: str = "row",
    columns: str = "column",
    row_order: Sequence[str] | None = None,
    column_order: Sequence[str] | None = None,
    row_label: str = "",
    column_label: str = "",
    differences: bool = False,
) -> Figure:
    """Draw a value for each pair of row and column, with its interval below it.

    Parameters
    ----------
    table : pandas.DataFrame
        ``value, low, high``, the two columns that name the place, and perhaps ``note``, a further line of text. Pairs
        that are not there stay white.
    title : str
        Above the table.
    rows, columns : str
        Which columns name the place.
    row_order, column_order : sequence of str, optional
        From the top and from the left; otherwise as they come.
    row_label, column_label : str
        Of the axes.
    differences : bool
        Values are differences: signed, shaded from 0 to both sides, and bold where the interval excludes 0. Otherwise
        shaded from 0 to the highest.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = in_order(list(table[rows]), row_order), in_order(list(table[columns]), column_order)
    values = table.pivot(index=rows, columns=columns, values="value").loc[names[0], names[1]].to_numpy(np.float64)
    finite = np.abs(values[np.isfinite(values)])
    top = max(float(finite.max()) if finite.size else 0.0, 1e-6)
    lines = 3 if "note" in table else 2
    with look():
        figure = Picture(
            figsize=(1.25 * len(names[1]) + 3.2, 0.23 * (lines + 0.7) * len(names[0]) + 1.4), layout="constrained"
        )
        panel = figure.subplots()
        shown = panel.imshow(
            values, cmap="PuOr" if differences else "cividis", vmin=-top if differences else 0, vmax=top, aspect="auto"
        )
        for _, cell in table.iterrows():
            place = names[1].index(cell[columns]), names[0].index(cell[rows])
            red, green, blue, _ = shown.cmap(shown.norm(cell["value"]))
            clear = differences and (cell["low"] > 0 or cell["high"] < 0)
            panel.text(
                *place,
                _text(cell, differences),
                ha="center",
                va="center",
                fontsize=9,
                color="white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black",
                fontweight="bold" if clear else "normal",
            )
        panel.set_xticks(range(len(names[1])), names[1])
        panel.set_yticks(range(len(names[0])), [wrapped(str(name)) for name in names[0]])
        panel.set(xlabel=column_label, ylabel=row_label)
        panel.set_title(wrapped(title, 60), loc="left", fontsize=11)
        panel.grid(False)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
    return figure


def _text(cell: pd.Series, signed: bool) -> str:
    """Value, interval and note."""
    form = "+.2f" if signed else ".2f"
    text = f"{cell['value']:{form}}"
    if np.isfinite(cell["low"]):
        text += f"\n{cell['low']:{form}} to {cell['high']:{form}}"
    return text.replace("-", "−") + (f"\n{cell['note']}" if cell.get("note") else "")
