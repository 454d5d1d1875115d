"""Figures of a report, drawn from an evaluation's tables; each function returns a matplotlib ``Figure``."""

from uad_eval.plots.bars import metric_bars, pathology_map
from uad_eval.plots.curves import precision_recall_plot, roc_plot, training_curves
from uad_eval.plots.gallery import gallery, side_by_side
from uad_eval.plots.growth import growth_plot
from uad_eval.plots.histograms import distance_histograms
from uad_eval.plots.shaded_table import shaded_table
from uad_eval.plots.style import png

__all__ = [
    "distance_histograms",
    "gallery",
    "growth_plot",
    "metric_bars",
    "pathology_map",
    "png",
    "precision_recall_plot",
    "roc_plot",
    "shaded_table",
    "side_by_side",
    "training_curves",
]
