"""Figures of a report, drawn from an evaluation's tables; each function returns a matplotlib ``Figure``."""

from uad_eval.plots.bars import metric_bars, pathology_map
from uad_eval.plots.curves import precision_recall_plot, roc_plot, training_curves
from uad_eval.plots.gallery import gallery, side_by_side
from uad_eval.plots.histograms import distance_histograms
from uad_eval.plots.style import png

__all__ = [
    "distance_histograms",
    "gallery",
    "metric_bars",
    "pathology_map",
    "png",
    "precision_recall_plot",
    "roc_plot",
    "side_by_side",
    "training_curves",
]
