"""The steps that pipelines are made of; registering one here buys it the contract tests and the JSON form."""

from uad_postproc.steps.brain_edge import BrainErosion
from uad_postproc.steps.calibration import HealthyPValue
from uad_postproc.steps.components import LargestComponents, SmallObjectRemoval
from uad_postproc.steps.gaussian_mixture import GaussianMixture
from uad_postproc.steps.gaussian_scales import GaussianScales
from uad_postproc.steps.hysteresis import Hysteresis
from uad_postproc.steps.minmax_residual import MinMaxResidual
from uad_postproc.steps.morphology import Closing, HoleFilling, Opening
from uad_postproc.steps.per_item_thresholds import Otsu, PerItemThreshold, Yen
from uad_postproc.steps.residual import Residual
from uad_postproc.steps.smoothing import GaussianFilter, MajorityFilter, MedianFilter
from uad_postproc.steps.spatial_priors import AtlasPrior, SymmetryPrior
from uad_postproc.steps.step import Step
from uad_postproc.steps.thresholds import (
    LAMBERT2021_GRID,
    BestDice,
    FittedThreshold,
    FixedThreshold,
    HealthyQuantile,
    HealthySigma,
    LabelFitted,
    Threshold,
)

STEPS: dict[str, type[Step]] = {
    "Residual": Residual,
    "MinMaxResidual": MinMaxResidual,
    "MedianFilter": MedianFilter,
    "GaussianFilter": GaussianFilter,
    "GaussianScales": GaussianScales,
    "BrainErosion": BrainErosion,
    "GaussianMixture": GaussianMixture,
    "HealthyPValue": HealthyPValue,
    "SymmetryPrior": SymmetryPrior,
    "AtlasPrior": AtlasPrior,
    "FixedThreshold": FixedThreshold,
    "HealthyQuantile": HealthyQuantile,
    "HealthySigma": HealthySigma,
    "Hysteresis": Hysteresis,
    "BestDice": BestDice,
    "Otsu": Otsu,
    "Yen": Yen,
    "MajorityFilter": MajorityFilter,
    "Opening": Opening,
    "Closing": Closing,
    "HoleFilling": HoleFilling,
    "SmallObjectRemoval": SmallObjectRemoval,
    "LargestComponents": LargestComponents,
}

__all__ = [
    "LAMBERT2021_GRID",
    "STEPS",
    "AtlasPrior",
    "BestDice",
    "BrainErosion",
    "Closing",
    "FittedThreshold",
    "FixedThreshold",
    "GaussianFilter",
    "GaussianMixture",
    "GaussianScales",
    "HealthyPValue",
    "HealthyQuantile",
    "HealthySigma",
    "HoleFilling",
    "Hysteresis",
    "LabelFitted",
    "LargestComponents",
    "MajorityFilter",
    "MedianFilter",
    "MinMaxResidual",
    "Opening",
    "Otsu",
    "PerItemThreshold",
    "Residual",
    "SmallObjectRemoval",
    "Step",
    "SymmetryPrior",
    "Threshold",
    "Yen",
]
