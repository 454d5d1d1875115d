"""Experiments: methods and seeds on one cohort, from scans to tidy results.

The one place that knows all four packages; it comes with the extra ``uad-eval[experiment]``.
"""

from uad_eval.experiment.budget import Budget
from uad_eval.experiment.cases import Case, case_arrays, choose_cases
from uad_eval.experiment.cell import FailedCell
from uad_eval.experiment.code_use import code_use
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.environment import environment, environment_of
from uad_eval.experiment.failures import false_alarm_cases, measured_lesions, missed_cases
from uad_eval.experiment.fewer_people import fewer_people, run_with_fewer_people
from uad_eval.experiment.finetuning import PRETRAINED, SCRATCH, Finetuned, FinetunePlan, run_finetuning
from uad_eval.experiment.found_lesions import found_lesions
from uad_eval.experiment.given_text import whole_numbers
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.healing import codebook_use, healing_ablation, healing_steps
from uad_eval.experiment.image_masks import ImageMasks, run_image_masks
from uad_eval.experiment.judged_again import judge_again, judged_rows
from uad_eval.experiment.latent_shapes import LatentShapes, Network, run_latent_shapes
from uad_eval.experiment.made_up_trial import MadeUpTrial, made_up_trial
from uad_eval.experiment.map_variants import run_map_variants, with_settings
from uad_eval.experiment.model_cards import folded_cards, model_cards, write_cards
from uad_eval.experiment.score_parts import SliceStudy, head_accuracy, slice_study
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.sweep import sweep
from uad_eval.experiment.synthetic_plan import SyntheticPlan
from uad_eval.experiment.transfer import (
    evaluate_elsewhere,
    other_cohorts,
    run_elsewhere,
    transfer_matrices,
    transfer_matrix,
)

__all__ = [
    "PRETRAINED",
    "SCRATCH",
    "Budget",
    "Case",
    "Experiment",
    "ExperimentSettings",
    "FailedCell",
    "FinetunePlan",
    "Finetuned",
    "ImageMasks",
    "LatentShapes",
    "MadeUpTrial",
    "MethodSpec",
    "Network",
    "SliceStudy",
    "SyntheticPlan",
    "case_arrays",
    "choose_cases",
    "code_use",
    "codebook_use",
    "environment",
    "environment_of",
    "evaluate_elsewhere",
    "false_alarm_cases",
    "fewer_people",
    "folded_cards",
    "found_lesions",
    "head_accuracy",
    "healing_ablation",
    "healing_steps",
    "judge_again",
    "judged_rows",
    "made_up_trial",
    "measured_lesions",
    "missed_cases",
    "model_cards",
    "open_cohort",
    "other_cohorts",
    "run_elsewhere",
    "run_experiment",
    "run_finetuning",
    "run_image_masks",
    "run_latent_shapes",
    "run_map_variants",
    "run_with_fewer_people",
    "slice_study",
    "sweep",
    "transfer_matrices",
    "transfer_matrix",
    "whole_numbers",
    "with_settings",
    "write_cards",
]
