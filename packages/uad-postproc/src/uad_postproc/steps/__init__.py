"""The steps that pipelines are made of; registering one here buys it the contract tests and the JSON form."""

from uad_postproc.steps.brain_edge import BrainErosion
from uad_postproc.steps.components import SmallObjectRemoval
from uad_postproc.steps.morphology import Closing, HoleFilling, Opening
from uad_postproc.steps.residual import Residual
from uad_postproc.steps.smoothing import MajorityFilter, MedianFilter
from uad_postproc.steps.step import Step
from uad_postproc.steps.thresholds import (
    LAMBERT2021_GRID,
    BestDice,
    FittedThreshold,
    FixedThreshold,
    HealthyQuantile,
    LabelFitted,
    Threshold,
)

STEPS: dict[str, type[Step]] = {
    "Residual": Residual,
    "MedianFilter": MedianFilter,
    "BrainErosion": BrainErosion,
    "FixedThreshold": FixedThreshold,
    "HealthyQuantile": HealthyQuantile,
    "BestDice": BestDice,
    "MajorityFilter": MajorityFilter,
    "Opening": Opening,
    "Closing": Closing,
    "HoleFilling": HoleFilling,
    "SmallObjectRemoval": SmallObjectRemoval,
}

__all__ = [
    "LAMBERT2021_GRID",
    "STEPS",
    "BestDice",
    "BrainErosion",
    "Closing",
    "FittedThreshold",
    "FixedThreshold",
    "HealthyQuantile",
    "HoleFilling",
    "LabelFitted",
    "MajorityFilter",
    "MedianFilter",
    "Opening",
    "Residual",
    "SmallObjectRemoval",
    "Step",
    "Threshold",
]
