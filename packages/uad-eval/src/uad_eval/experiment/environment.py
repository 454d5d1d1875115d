"""Settings, versions and machine of an experiment, for the end of a report."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

import pandas as pd
import torch

from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.settings import ExperimentSettings

_PACKAGES = ("uad-data", "uad-models", "uad-postproc", "uad-eval", "torch", "lightning-fabric", "numpy", "scikit-image")


def environment(experiment: Experiment) -> pd.DataFrame:
    """List what decided the figures.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.

    Returns
    -------
    DataFrame
        Columns ``of``, ``name``, ``value``: settings of the experiment, of each method as resolved from its preset,
        package versions and the machine.
    """
    return environment_of(experiment.settings, {str(cell.spec): cell.facts()["config"] for cell in experiment.cells})


def environment_of(asked: ExperimentSettings, configs: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """List what decided the figures of a study that is no grid.

    Parameters
    ----------
    asked : ExperimentSettings
        Of the study.
    configs : mapping of str to mapping
        Name of a method to its settings as resolved.

    Returns
    -------
    DataFrame
        As `environment`.
    """
    settings = asdict(asked) | {"methods": " ".join(map(str, asked.methods))}
    machine: dict[str, object] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    parts: dict[str, Mapping[str, object]] = {"experiment": settings, **configs}
    parts["version"] = {name: version(name) for name in _PACKAGES}
    parts["machine"] = machine
    rows = [
        {"of": of, "name": name, "value": " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)}
        for of, values in parts.items()
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)
