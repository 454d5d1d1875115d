"""How evenly a codebook is used."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from uad_eval.plots.style import HEALTHY, NEUTRAL, Picture, look, wrapped


def codebook_use_plot(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw the share of each code, from the most used, a panel per method and a line per seed.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        Method to ``seed, code, share``, see :func:`uad_eval.experiment.codebook_use`.

    Returns
    -------
    matplotlib.figure.Figure
        The dashed line is an even use of all codes.
    """
    with look():
        figure = Picture(figsize=(3.9 * len(tables) + 0.3, 3.0), layout="constrained")
        panels = list(figure.subplots(1, len(tables), squeeze=False, sharey=True).ravel())
        for panel, (method, table) in zip(panels, tables.items(), strict=True):
            for _, own in table.groupby("seed"):
                shares = np.sort(own["share"].to_numpy())[::-1]
                panel.step(np.arange(1, len(shares) + 1), 100 * shares, where="mid", color=HEALTHY, linewidth=1.6)
            panel.axhline(100 / len(shares), color=NEUTRAL, linestyle=(0, (4, 3)), label="all codes alike")
            panel.set_title(wrapped(method), loc="left", fontsize=11)
            panel.set(xlabel="Code, from the most used", ylim=(0, None))
        panels[0].set_ylabel("Share of the healthy codes, %")
        panels[0].legend(loc="upper right")
    return figure
