"""The run folder: what was asked for, how it went, what came out.

- ``config.json``: method, settings, array spec, digest of the arrays, preset, seed, package versions, status;
- ``history.csv``: one line per validation;
- ``model.safetensors``: the best weights (or their moving average);
- ``environment.json``: python, torch, machine, threads, peak memory, seconds;
- ``carried_over.csv``: of a fine-tuned run, which weights it began with (see `uad_models.labelled`);
- ``pipeline.json``: the threshold, fitted on healthy people (see `uad_models.clinical.verdict`);
- ``tensorboard/``: the same curves for TensorBoard;
- ``checkpoint.safetensors``: where to resume; there while the run is not finished.
"""

import csv
import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch

from uad_data.arrays import ArraySpec
from uad_data.errors import InputError
from uad_models.checkpoint import FORMAT_VERSION, check_version, load_tensors, replacing, save_tensors
from uad_models.method import Method
from uad_models.registry import create

CONFIG, HISTORY, MODEL = "config.json", "history.csv", "model.safetensors"
ENVIRONMENT, CHECKPOINT = "environment.json", "checkpoint.safetensors"
# Where a run is computed is no part of what is computed: it may be resumed on another machine.
_FREE_TO_CHANGE = ("train.accelerator", "train.devices", "train.workers")
_GROUPS = ("config", "train", "arrays", "labels")
# Settings that older runs do not have; at these values they change nothing.
_ABSENT: dict[str, Any] = {
    "train.augmentation": "none",
    "train.patch": None,
    "train.minutes": 0.0,
    "train.plateau_factor": 0.1,
    "train.plateau_patience": 5,
    "train.validation_rows": 0,
}


def _versions() -> dict[str, str]:
    """Collect the versions of the packages that shape a result."""
    return {name: version(name) for name in ("uad-models", "uad-data", "torch", "lightning-fabric", "numpy")}


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's outcome.

    Parameters
    ----------
    method
        Name of the method.
    config
        All fields of its config.
    train
        All fields of `uad_models.training.TrainConfig`.
    arrays
        All fields of the `uad_data.arrays.ArraySpec`.
    digest
        Of the prepared arrays: their settings and the files they were made from.
    rows
        Items per split, healthy ones unless it saw labels: what it learned from, and what it was validated on.
    preset, seed
        As asked for.
    recipe
        What the scans were prepared by, see `uad_data.preparation.recipe`; None for scans taken as they were.
    labels
        Of a run that learned from labels (`uad_models.labelled`): the scans whose labels it saw, and what its weights
        began as. None for all others.
    versions
        Package versions when the run was started.
    status
        ``"running"`` or ``"finished"``.
    format_version
        Of the run folder.
    """

    method: str
    config: dict[str, Any]
    train: dict[str, Any]
    arrays: dict[str, Any]
    digest: str
    rows: dict[str, int]
    preset: str
    seed: int
    recipe: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=_versions)
    status: str = "running"
    format_version: int = FORMAT_VERSION

    @property
    def spec(self) -> ArraySpec:
        """The array spec that its images were made with."""
        return ArraySpec.from_dict(self.arrays)

    @property
    def fingerprint(self) -> str:
        """A digest of the settings that must not change within a run."""
        return hashlib.sha256(json.dumps(_fixed(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, run: Path) -> Self:
        """Read a run folder's ``config.json``.

        Parameters
        ----------
        run
            The run folder.

        Returns
        -------
        RunConfig
            As written.

        Raises
        ------
        InputError
            The folder is missing, empty or not a run, or the file is damaged or of a newer version.
        """
        path = run / CONFIG
        if not path.is_file():
            state = "does not exist" if not run.exists() else "is empty" if not os.listdir(run) else f"has no {CONFIG}"
            raise InputError(f"run folder {run} {state}: expected what 'uad-models train --out {run}' writes")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            check_version(path, values["format_version"])
            return cls(**values)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): delete the folder and train again") from error

    def write(self, run: Path, *, status: str) -> None:
        """Write ``config.json``.

        Parameters
        ----------
        run
            The run folder.
        status
            ``"running"`` or ``"finished"``.
        """
        _write_json(run / CONFIG, asdict(replace(self, status=status)))

    def check_same(self, earlier: Self, run: Path) -> None:
        """Refuse to go on with a run that was started with other settings.

        Parameters
        ----------
        earlier
            What the folder says.
        run
            The run folder.

        Raises
        ------
        InputError
            Naming the first setting that differs.
        """
        now, then = _fixed(self), _fixed(earlier)
        for name in sorted({*now, *then}):
            if now.get(name) != then.get(name):
                what = "other images: digest" if name == "digest" else name
                raise InputError(
                    f"run folder {run} was made with {what} = {then.get(name)!r}, now {name} = {now.get(name)!r} is "
                    "asked for: ask for the old value, or choose another folder"
                )


class History:
    """``history.csv``: rows with changing columns, written anew as a whole each time.

    Parameters
    ----------
    path
        The file.
    rows
        How many rows of an earlier session to keep; later ones are dropped, they will come again.
    """

    def __init__(self, path: Path, *, rows: int = 0) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if rows and path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))[:rows]

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row and write the file.

        Parameters
        ----------
        row
            Column to value; new columns are added at the end.
        """
        self.rows.append(dict(row))
        self.write()

    def write(self) -> None:
        """Write the file, with at least the columns ``stage`` and ``step``."""
        columns = list(dict.fromkeys(["stage", "step", *(name for row in self.rows for name in row)]))
        with replacing(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


def load_run(run: str | Path) -> tuple[Method, RunConfig]:
    """Load the method of a finished run.

    Parameters
    ----------
    run
        The run folder.

    Returns
    -------
    method : Method
        With its trained weights, on the CPU, in ``eval()`` mode.
    config : RunConfig
        What the run was made with.

    Raises
    ------
    InputError
        No such run, an unfinished one, a damaged or newer file, or weights of another method.
    """
    run = Path(run)
    config = RunConfig.read(run)
    if config.status != "finished":
        raise InputError(f"run folder {run} is not finished: run the command that started it again, it resumes")
    with torch.random.fork_rng(devices=[]):
        method = create(config.method, **config.config)
    tensors, _ = load_tensors(run / MODEL, method=config.method)
    try:
        method.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{run / MODEL} does not fit the settings in {run / CONFIG}: {reason}") from error
    return method.eval(), config


def training_seconds(run: Path) -> float:
    """Return how long a finished run was trained, over all sessions.

    Parameters
    ----------
    run
        The run folder.

    Returns
    -------
    float
        Seconds; of an ensemble with those of members that were trained alone.
    """
    return float(json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))["seconds"])


def finish_run(run: Path, config: RunConfig, method: Method, *, seconds: float, device: torch.device) -> None:
    """Write the weights and the environment, mark the run as finished, and remove what was for resuming.

    Parameters
    ----------
    run, config, method
        The folder, what the run was made with, and the method with its final weights.
    seconds
        Training time over all sessions.
    device
        What it was trained on.
    """
    save_tensors(run / MODEL, method.state_dict(), method=config.method, state={})
    _write_json(run / ENVIRONMENT, _environment(seconds, device))
    config.write(run, status="finished")
    (run / CHECKPOINT).unlink(missing_ok=True)


def _fixed(config: RunConfig) -> dict[str, Any]:
    """Collect the settings that must not change within a run, under dotted names, as JSON would give them back."""
    values = json.loads(json.dumps(asdict(config)))
    groups = {f"{group}.{k}": v for group in _GROUPS for k, v in (values[group] or {}).items()}
    found = groups | {name: values[name] for name in ("method", "seed", "digest")}
    return {
        name: value
        for name, value in found.items()
        if name not in _FREE_TO_CHANGE and not (name in _ABSENT and value == _ABSENT[name])
    }


def _environment(seconds: float, device: torch.device) -> dict[str, Any]:
    """Collect what the run ran on, and what it took."""
    on_gpu = device.type == "cuda"
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": _peak_memory(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "seconds": round(seconds, 3),
    }


def _cpu_name() -> str:
    """Name the processor, as itself does where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _peak_memory() -> int | None:
    """Measure the most memory that this process ever held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
