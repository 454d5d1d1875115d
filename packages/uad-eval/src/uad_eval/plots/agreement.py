"""Bland–Altman plot of volumes, reliability diagram of probabilities, and FROC curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from uad_eval.calibration import Reliability
from uad_eval.froc import Froc
from uad_eval.plots.style import ANOMALOUS, HEALTHY, NEUTRAL, Picture, look, method_lines, wrapped
from uad_eval.volume_agreement import volume_agreement


def bland_altman_plot(marked: ArrayLike, true: ArrayLike, *, title: str = "") -> Figure:
    """Draw the difference of marked and true volume against their mean, a dot per scan.

    Parameters
    ----------
    marked, true : array_like, shape (scans,)
        In ml, as :func:`uad_eval.volume_agreement.volume_agreement`.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        With the bias (and its 95 % interval, shaded) and the limits of agreement.
    """
    found = volume_agreement(marked, true)
    marked, true = np.asarray(marked, np.float64), np.asarray(true, np.float64)
    with look():
        figure = Picture(figsize=(6.4, 4.2), layout="constrained")
        panel = figure.subplots()
        panel.plot((marked + true) / 2, marked - true, "o", color=HEALTHY, markersize=5, alpha=0.8)
        if np.isfinite(found.bias):
            panel.axhline(found.bias, color=ANOMALOUS, label=f"bias {found.bias:+.2f} ml")
        if np.isfinite(found.low):
            panel.axhspan(found.bias_low, found.bias_high, color=ANOMALOUS, alpha=0.15, linewidth=0)
            panel.axhline(
                found.low, color=NEUTRAL, linestyle="--", label=f"limits {found.low:+.2f} to {found.high:+.2f} ml"
            )
            panel.axhline(found.high, color=NEUTRAL, linestyle="--")
        panel.set(xlabel="Mean of marked and true volume, ml", ylabel="Marked − true, ml")
        panel.set_title(wrapped(title, 60), loc="left")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def reliability_plot(found: Mapping[str, Reliability]) -> Figure:
    """Draw the share of lesion voxels against the predicted probability, a line per method."""
    with look():
        figure = Picture(figsize=(5.4, 5.4), layout="constrained")
        panel = figure.subplots()
        for name, (colour, line) in method_lines(list(found)).items():
            predicted, observed = found[name].curve()
            kept = np.isfinite(predicted)
            panel.plot(
                predicted[kept],
                observed[kept],
                color=colour,
                linestyle=line,
                marker=".",
                label=wrapped(f"{name}, ECE {found[name].expected_error():.3f}", 56),
            )
        panel.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=(0, (4, 3)), label="calibrated")
        panel.set(xlabel="Predicted probability", ylabel="Share of lesion voxels", aspect="equal")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center")
    return figure


def froc_plot(found: Mapping[str, Froc]) -> Figure:
    """Draw the share of lesions found against false regions per scan, a line per method; best at the upper left."""
    with look():
        figure = Picture(figsize=(6.4, 4.8), layout="constrained")
        panel = figure.subplots()
        for name, (colour, line) in method_lines(list(found)).items():
            at = np.unique(found[name].false_per_scan)
            panel.plot(
                at,
                [found[name].sensitivity_at(x) for x in at],
                color=colour,
                linestyle=line,
                marker=".",
                drawstyle="steps-post",
                label=wrapped(f"{name}, mean sensitivity {found[name].score():.3f}", 60),
            )
        panel.set_xscale("symlog", linthresh=0.125)
        panel.set(xlabel="False regions per scan", ylabel="Share of lesions found", ylim=(0, 1.02), xlim=(0, None))
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center")
    return figure
