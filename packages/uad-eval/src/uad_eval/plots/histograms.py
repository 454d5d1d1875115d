"""How far healthy and anomalous slices lie from their reconstructions, after Figure 6 of the 2023 poster."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from uad_eval.errors import InputError
from uad_eval.plots.style import ANOMALOUS, HEALTHY, Picture, hide_spare, in_order, look, wrapped
from uad_eval.results import Evaluation


def distance_histograms(
    evaluation: Evaluation, *, level: str = "slice", order: Sequence[str] | None = None, bins: int = 30
) -> Figure:
    """Draw the ℓ2 distances of healthy and of anomalous samples, a panel per method, from its lowest seed.

    Parameters
    ----------
    evaluation : Evaluation
        Holding table ``samples``, of one cohort and one scope.
    level : str
        ``"slice"`` or ``"scan"``.
    order : sequence of str, optional
        Methods in the order of the panels.
    bins : int
        Bars per panel, the same edges for both kinds. Each kind is scaled to area 1, as there are rarely as many of
        the one as of the other.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        There is no sample of that level.
    """
    samples = evaluation.samples[evaluation.samples["level"] == level]
    if samples.empty:
        raise InputError(f"no samples of level {level!r} in this evaluation; score them with evaluate_samples first")
    methods = in_order(list(samples["method"]), order)
    columns = min(3, len(methods))
    rows = -(-len(methods) // columns)
    with look():
        figure = Picture(figsize=(3.7 * columns, 2.9 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, method in zip(panels, methods, strict=False):
            own = samples[samples["method"] == method]
            own = own[own["seed"] == own["seed"].min()]
            edges = np.histogram_bin_edges(own["score"], bins=bins)
            for anomalous, colour, label in ((False, HEALTHY, "healthy"), (True, ANOMALOUS, "anomalous")):
                score = own.loc[own["anomalous"] == anomalous, "score"]
                if len(score):
                    panel.hist(score, bins=edges, density=True, color=colour, alpha=0.3)
                    panel.hist(
                        score, bins=edges, density=True, color=colour, histtype="step", linewidth=1.6, label=label
                    )
            area = _area(evaluation, method, own["seed"].min(), level)
            panel.set_title(wrapped(method, 30) + area, loc="left", fontsize=11)
            panel.locator_params(axis="x", nbins=5)
            panel.set(xlabel="ℓ2 distance", yticks=[])
        hide_spare(list(panels), len(methods))
        for start in range(0, len(methods), columns):
            panels[start].set_ylabel(f"Share of {level}s")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure


def _area(evaluation: Evaluation, method: str, seed: int, level: str) -> str:
    """AUROC of the panel, as a part of its title; empty where it is not defined."""
    results = evaluation.results
    own = results[(results["method"] == method) & (results["seed"] == seed) & (results["metric"] == f"{level}_auroc")]
    value = own["value"].dropna()
    return "" if value.empty else f"\nAUROC {value.iloc[0]:.3f}"
