"""Figures for anomaly maps and masks: metrics, threshold protocols, intervals, tables, plots, experiments."""

from importlib.metadata import version

from uad_eval.comparison import over_seeds, paired_difference
from uad_eval.errors import InputError
from uad_eval.evaluation import SubjectVoxels, evaluate, evaluate_subjects
from uad_eval.healthy_volume import evaluate_false_positives, marked_volumes
from uad_eval.protocols import (
    HEALTHY_VALIDATION,
    HEALTHY_VOLUME,
    LESION_VALIDATION,
    ORACLE,
    PROTOCOLS,
    SYNTHETIC_VALIDATION,
    healthy_validation_threshold,
    lesion_validation_threshold,
    synthetic_validation_threshold,
)
from uad_eval.reconstruction import evaluate_reconstruction
from uad_eval.results import Evaluation, RunKey, single_figures
from uad_eval.samples import evaluate_samples
from uad_eval.scope import Scope
from uad_eval.streaming import StreamedRanking
from uad_eval.surface import surface_distances
from uad_eval.table_html import render_html
from uad_eval.tables import by_pathology, label_cost, leaderboard

__version__ = version("uad-eval")

__all__ = [
    "HEALTHY_VALIDATION",
    "HEALTHY_VOLUME",
    "LESION_VALIDATION",
    "ORACLE",
    "PROTOCOLS",
    "SYNTHETIC_VALIDATION",
    "Evaluation",
    "InputError",
    "RunKey",
    "Scope",
    "StreamedRanking",
    "SubjectVoxels",
    "by_pathology",
    "evaluate",
    "evaluate_false_positives",
    "evaluate_reconstruction",
    "evaluate_samples",
    "evaluate_subjects",
    "healthy_validation_threshold",
    "label_cost",
    "leaderboard",
    "lesion_validation_threshold",
    "marked_volumes",
    "over_seeds",
    "paired_difference",
    "render_html",
    "single_figures",
    "surface_distances",
    "synthetic_validation_threshold",
]
