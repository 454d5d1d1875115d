"""How much of its code a variational autoencoder uses: what shows posterior collapse."""

import numpy as np
import pandas as pd
import torch

from uad_eval.experiment.grid import Experiment
from uad_models import load_run
from uad_models.feeding import read_batch
from uad_models.methods.vae import ACTIVE, VAE, divergence_from_prior

_BATCH = 32


@torch.inference_mode()
def code_use(experiment: Experiment) -> pd.DataFrame:
    """Count the units of the code that tell one healthy validation image from another.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.

    Returns
    -------
    pandas.DataFrame
        A row per variational method, seed and fold: ``method, seed, fold``; ``units``, the length of the code;
        ``active``, units whose mean has a variance over the images above 0.01 (Burda, Grosse, Salakhutdinov, ICLR 2016,
        section 5.2); ``nats``, the KL divergence from the standard normal, summed over the code, mean over the images.
    """
    rows = []
    for cell in experiment.cells:
        for fold, store in zip(cell.folds, experiment.stores, strict=True):
            method, _ = load_run(fold.run)
            if not isinstance(method, VAE):
                continue
            healthy = store.healthy_rows("val")
            batches = np.array_split(healthy, -(-len(healthy) // _BATCH))
            codes = [method.network.encode(read_batch(store, batch)["image"]) for batch in batches]
            mean, log_variance = (torch.cat(parts) for parts in zip(*codes, strict=True))
            varying = mean.flatten(1).var(dim=0, correction=0) > ACTIVE
            rows.append(
                {"method": str(cell.spec), "seed": cell.seed, "fold": fold.number}
                | {"units": varying.numel(), "active": int(varying.sum())}
                | {"nats": float(divergence_from_prior(mean, log_variance).sum(dim=1).mean())}
            )
    return pd.DataFrame(rows, columns=["method", "seed", "fold", "units", "active", "nats"])
