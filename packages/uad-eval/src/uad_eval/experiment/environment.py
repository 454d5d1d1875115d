"""Settings, versions and machine of an experiment, for the end of a report."""

import os
import platform
from dataclasses import asdict
from importlib.metadata import version

import pandas as pd
import torch

from uad_eval.experiment.grid import Experiment

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
    settings = asdict(experiment.settings) | {"methods": " ".join(map(str, experiment.settings.methods))}
    machine: dict[str, object] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    parts: dict[str, dict[str, object]] = {"experiment": settings}
    for cell in experiment.cells:
        parts[str(cell.spec)] = cell.facts()["config"]
    parts["version"] = {name: version(name) for name in _PACKAGES}
    parts["machine"] = machine
    rows = [
        {"of": of, "name": name, "value": " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)}
        for of, values in parts.items()
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)
