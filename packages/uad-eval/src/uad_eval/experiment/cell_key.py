"""What decides a cell's figures, as plain values: presets and priors by what they say, not by name."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from uad_data import ArrayStore
from uad_data.corruptions.lesions import SEQUENCES, LesionMix
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.training import resolved
from uad_models import Method, TrainConfig
from uad_postproc.pipelines import pipeline

_FORMAT = 4
_PACKAGES = ("uad-data", "uad-models", "uad-postproc", "uad-eval", "torch")
_WHERE = ("accelerator", "devices", "workers")  # no part of what is computed
_MIXES = ("trained_mix", "held_out_mix")


def cell_key(
    spec: MethodSpec, seed: int, stores: tuple[ArrayStore, ...], settings: ExperimentSettings
) -> dict[str, Any]:
    """Collect everything that decides the figures of a method and a seed.

    Parameters
    ----------
    spec : MethodSpec
        The method.
    seed : int
        Of the training.
    stores : tuple of ArrayStore
        The prepared cohort, once per fold.
    settings : ExperimentSettings
        Of the experiment.

    Returns
    -------
    dict
        JSON values. Presets, made-up lesions and the pipeline stand in it with all they hold.
    """
    method, train = resolved(spec, stores[0].spec, settings, seed=seed)
    modalities = stores[0].spec.modalities
    prior = repr(LesionMix.of(*modalities)) if set(modalities) <= set(SEQUENCES) else ""
    return resolved_key(method, train) | {
        "format": _FORMAT,
        "arrays": [store.digest for store in stores],
        "cohort": settings.cohort_name,
        "method": str(spec),
        "seed": seed,
        "validation_lesions": prior,
        "pipeline": pipeline(settings.pipeline).to_dict(),
        "false_positive_rate": settings.false_positive_rate,
        "false_positive_ml": settings.false_positive_ml,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def resolved_key(method: Method, train: TrainConfig) -> dict[str, Any]:
    """Collect what decides a training, beside its images and its seed.

    Parameters
    ----------
    method : Method
        Not trained; from `uad_eval.experiment.training.resolved`.
    train : TrainConfig
        How it is to be.

    Returns
    -------
    dict
        ``config``, of the method and of each method in it, with the made-up lesions that they learn from; ``train``.
    """
    parts = {name: part for name, part in method.named_modules() if isinstance(part, Method)}
    return {
        "config": {name: part.config.to_dict() | _made_up_lesions(part) for name, part in parts.items()},
        "train": {name: value for name, value in asdict(train).items() if name not in _WHERE},
    }


def _made_up_lesions(method: Method) -> dict[str, str]:
    """Write out the priors of a method that learns from made-up lesions."""
    return {name: repr(getattr(method.config, name)()) for name in _MIXES if hasattr(method.config, name)}
