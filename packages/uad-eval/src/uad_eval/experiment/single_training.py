"""One training of one method for a study that is no grid, and what it makes of some rows."""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.experiment.cell_key import resolved_key
from uad_eval.experiment.json_file import read_json
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.training import resolved, typed_settings
from uad_models import Method, fit, load_run, predict_rows
from uad_models.run_folder import ENVIRONMENT

_PACKAGES = ("uad-data", "uad-models", "torch")


@dataclass(frozen=True)
class Trained:
    """A method with its weights, and what they cost.

    Parameters
    ----------
    run : Path
        Its run folder.
    config : dict
        The method's settings as resolved.
    parameters : int
        Numbers that were learned.
    seconds : float
        Of training.
    """

    run: Path
    config: dict[str, Any]
    parameters: int
    seconds: float

    def load(self) -> Method:
        """Load the method."""
        return load_run(self.run)[0]

    def predict(self, store: ArrayStore, rows: NDArray, *, accelerator: str = "auto") -> tuple[NDArray, NDArray]:
        """Give the maps and reconstructions of some rows.

        Parameters
        ----------
        store : ArrayStore
            Arrays of the size that it was trained on.
        rows : ndarray of int, shape (n,)
            Which of them.
        accelerator : str
            As `ExperimentSettings`.

        Returns
        -------
        maps, reconstructions : ndarray
            ``(n, *size)`` and ``(n, c, *size)`` float32.
        """
        files = self.run / "maps.npy", self.run / "reconstruction.npy"
        predict_rows(self.load(), store, rows, files[0], reconstruction_out=files[1], accelerator=accelerator)
        maps, reconstructions = (np.load(file) for file in files)
        for file in files:
            file.unlink()
        return maps, reconstructions


def train_once(store: ArrayStore, spec: MethodSpec, seed: int, settings: ExperimentSettings) -> Trained:
    """Train a method on the healthy rows of a store, or resume, or read what is done.

    Parameters
    ----------
    store : ArrayStore
        Prepared arrays, or a view of them with a digest of its own.
    spec : MethodSpec
        The method.
    seed : int
        Of the training.
    settings : ExperimentSettings
        Preset, accelerator and output; the run goes to ``<output>/runs``.

    Returns
    -------
    Trained
        The finished training.
    """
    untrained, train = resolved(spec, store.spec, settings, seed=seed)
    key = {"arrays": store.digest, "method": str(spec), "seed": seed} | resolved_key(untrained, train)
    key |= {name: version(name) for name in _PACKAGES}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    run = settings.output / "runs" / f"{spec.slug[:80]}-seed{seed}-{digest}"
    method = fit(
        spec.name,
        store,
        run,
        preset=settings.preset,
        seed=seed,
        config=typed_settings(spec)["config"],
        train=asdict(train),
        progress=sys.stderr.isatty(),
    )
    count = sum(parameter.numel() for parameter in method.parameters())
    return Trained(run, method.config.to_dict(), count, read_json(run / ENVIRONMENT)["seconds"])
