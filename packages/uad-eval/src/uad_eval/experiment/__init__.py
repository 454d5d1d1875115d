"""Experiments: methods and seeds on one cohort, from scans to tidy results.

The one place that knows all four packages; it comes with the extra ``uad-eval[experiment]``.
"""

from uad_eval.experiment.cases import Case, case_arrays, choose_cases
from uad_eval.experiment.code_use import code_use
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.environment import environment
from uad_eval.experiment.failures import false_alarm_cases, measured_lesions, missed_cases
from uad_eval.experiment.fewer_people import fewer_people, run_with_fewer_people
from uad_eval.experiment.finetuning import PRETRAINED, SCRATCH, Finetuned, FinetunePlan, run_finetuning
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.healing import codebook_use, healing_ablation, healing_steps
from uad_eval.experiment.made_up_trial import MadeUpTrial, made_up_trial
from uad_eval.experiment.map_variants import run_map_variants, with_settings
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.sweep import sweep
from uad_eval.experiment.synthetic_plan import SyntheticPlan
from uad_eval.experiment.transfer import evaluate_elsewhere, run_elsewhere, transfer_matrix

__all__ = [
    "PRETRAINED",
    "SCRATCH",
    "Case",
    "Experiment",
    "ExperimentSettings",
    "FinetunePlan",
    "Finetuned",
    "MadeUpTrial",
    "MethodSpec",
    "SyntheticPlan",
    "case_arrays",
    "choose_cases",
    "code_use",
    "codebook_use",
    "environment",
    "evaluate_elsewhere",
    "false_alarm_cases",
    "fewer_people",
    "healing_ablation",
    "healing_steps",
    "made_up_trial",
    "measured_lesions",
    "missed_cases",
    "open_cohort",
    "run_elsewhere",
    "run_experiment",
    "run_finetuning",
    "run_map_variants",
    "run_with_fewer_people",
    "sweep",
    "transfer_matrix",
    "with_settings",
]
