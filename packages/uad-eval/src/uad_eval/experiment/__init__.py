"""Experiments: methods and seeds on one cohort, from scans to tidy results.

The one place that knows all four packages; it comes with the extra ``uad-eval[experiment]``.
"""

from uad_eval.experiment.cases import Case, case_arrays, choose_cases
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.environment import environment
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec

__all__ = [
    "Case",
    "Experiment",
    "ExperimentSettings",
    "MethodSpec",
    "case_arrays",
    "choose_cases",
    "environment",
    "open_cohort",
    "run_experiment",
]
