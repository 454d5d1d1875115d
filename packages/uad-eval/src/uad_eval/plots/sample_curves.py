"""ROC and precision–recall of scores of slices, and what a combined score makes of its parts."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from uad_eval.plots.style import ANOMALOUS, HEALTHY, NEUTRAL, Picture, look, method_lines, wrapped
from uad_eval.ranking import Ranking


def sample_curves(scores: Mapping[str, ArrayLike], anomalous: ArrayLike) -> Figure:
    """Draw ROC and precision–recall curves, as Figures 6.1 and 6.2 of the CT thesis.

    Parameters
    ----------
    scores : mapping of str to array_like of float, shape (n,)
        By name of the line.
    anomalous : array_like of bool, shape (n,)
        Which samples are positive; both kinds must be there.

    Returns
    -------
    matplotlib.figure.Figure
    """
    truth = np.asarray(anomalous, bool)
    with look():
        figure = Picture(figsize=(11.5, 4.6), layout="constrained")
        roc, precision = figure.subplots(1, 2)
        for name, (colour, line) in method_lines(list(scores)).items():
            ranking = Ranking.of(np.asarray(scores[name], float), truth)
            curve = ranking.roc_curve()
            roc.plot(curve.x, curve.y, color=colour, linestyle=line, label=wrapped(name))
            curve = ranking.precision_recall_curve()
            precision.plot(curve.x, curve.y, color=colour, linestyle=line, drawstyle="steps-pre")
        roc.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=(0, (4, 3)), label="chance")
        precision.axhline(truth.mean(), color=NEUTRAL, linestyle=(0, (4, 3)))
        roc.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.01))
        precision.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01))
        figure.legend(*roc.get_legend_handles_labels(), loc="outside right center")
    return figure


def balance_plot(
    curves: Mapping[str, pd.DataFrame],
    area: ArrayLike,
    parts: Mapping[str, ArrayLike],
    anomalous: ArrayLike,
    *,
    balance: float,
) -> Figure:
    """Draw why a combined score is better or worse than its parts.

    Parameters
    ----------
    curves : mapping of str to pandas.DataFrame
        Protocol to the AUROC over λ, from `uad_eval.sample_protocols.balance_curve`.
    area : array_like of float, shape (n,)
        Brain in each slice, any unit.
    parts : mapping of str to array_like of float, shape (n,)
        Parts of the score, a panel each: median and middle half over slices of like area.
    anomalous : array_like of bool, shape (n,)
        Which slices have a lesion.
    balance : float
        λ that was used.

    Returns
    -------
    matplotlib.figure.Figure
    """
    area, lesion = np.asarray(area, float), np.asarray(anomalous, bool)
    with look():
        figure = Picture(figsize=(4.4 * (1 + len(parts)), 3.8), layout="constrained")
        panels = figure.subplots(1, 1 + len(parts))
        for name, (colour, line) in method_lines(list(curves)).items():
            panels[0].plot(
                curves[name]["balance"], curves[name]["auroc"], color=colour, linestyle=line, label=wrapped(name)
            )
        panels[0].axvline(balance, color=NEUTRAL, linestyle=(0, (4, 3)), label="λ that was used")
        panels[0].set(xlabel="λ: 0 classification, 1 reconstruction", ylabel="AUROC")
        panels[0].legend()
        edges = np.quantile(area, np.linspace(0, 1, 7))
        group = np.clip(np.searchsorted(edges, area, side="right") - 1, 0, 5)
        for panel, (name, part) in zip(panels[1:], parts.items(), strict=True):
            values = np.asarray(part, float)
            for kind, colour, label in ((False, HEALTHY, "no lesion"), (True, ANOMALOUS, "lesion")):
                own = [np.flatnonzero((group == g) & (lesion == kind)) for g in range(6)]
                own = [each for each in own if len(each)]
                quarters = np.array([np.percentile(values[each], [25, 50, 75]) for each in own]).reshape(-1, 3)
                at = [area[each].mean() for each in own]
                panel.plot(at, quarters[:, 1], color=colour, marker="o", label=label)
                panel.fill_between(at, quarters[:, 0], quarters[:, 2], color=colour, alpha=0.2, linewidth=0)
            panel.set(xlabel="Brain in the slice, voxels", ylabel=f"Score: {name}")
        panels[-1].legend()
    return figure
