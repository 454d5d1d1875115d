"""Figures of a report, drawn from an evaluation's tables; each function returns a matplotlib ``Figure``."""

from uad_eval.plots.agreement import bland_altman_plot, froc_plot, reliability_plot
from uad_eval.plots.bars import metric_bars, pathology_map
from uad_eval.plots.codebook_use import codebook_use_plot
from uad_eval.plots.critical_difference import critical_difference_plot
from uad_eval.plots.curves import precision_recall_plot, roc_plot, training_curves
from uad_eval.plots.gallery import gallery, healing_plot, redrawn_plot, side_by_side
from uad_eval.plots.growth import growth_plot
from uad_eval.plots.histograms import distance_histograms
from uad_eval.plots.label_curves import LabelPanel, label_curves
from uad_eval.plots.people_dots import people_dots
from uad_eval.plots.rank_tables import rank_tables
from uad_eval.plots.residual_histograms import residual_histograms
from uad_eval.plots.sample_curves import balance_plot, sample_curves
from uad_eval.plots.shaded_table import shaded_table
from uad_eval.plots.size_curves import size_curves
from uad_eval.plots.style import png

__all__ = [
    "LabelPanel",
    "balance_plot",
    "bland_altman_plot",
    "codebook_use_plot",
    "critical_difference_plot",
    "distance_histograms",
    "froc_plot",
    "gallery",
    "growth_plot",
    "healing_plot",
    "label_curves",
    "metric_bars",
    "pathology_map",
    "people_dots",
    "png",
    "precision_recall_plot",
    "rank_tables",
    "redrawn_plot",
    "reliability_plot",
    "residual_histograms",
    "roc_plot",
    "sample_curves",
    "shaded_table",
    "side_by_side",
    "size_curves",
    "training_curves",
]
