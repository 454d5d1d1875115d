"""What `vqvae_transformer` does to some test cases, step by step, and how it uses its codebook."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
import torch
from einops import reduce, repeat

from uad_eval.errors import InputError
from uad_eval.experiment.cases import Case
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.settings import MethodSpec
from uad_models import Method, load_run
from uad_models.feeding import read_batch
from uad_models.methods.vqvae import VQVAE
from uad_models.methods.vqvae_transformer import VQVAETransformer

_AT_ONCE = 32  # images


@torch.inference_mode()
def codebook_use(experiment: Experiment, method: str) -> pd.DataFrame:
    """Count how often each code stands for a healthy test slice or volume.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment, with the cohort's own split.
    method : str
        One of its methods, with a codebook.

    Returns
    -------
    pandas.DataFrame
        ``seed, code, share``, the shares of a seed in falling order; only codes whose part of the image holds brain
        count.
    """
    rows = experiment.store.healthy_rows("test")
    tables = []
    for cell in _cells(experiment, method):
        model = _codebook_model(cell)
        counts = torch.zeros(model.config.codes)
        for start in range(0, len(rows), _AT_ONCE):
            batch = read_batch(experiment.store, rows[start : start + _AT_ONCE])
            codes = model.codes(batch["image"])
            inside = torch.nn.functional.interpolate(batch["brain"].float(), codes.shape[1:], mode="area")[:, 0] > 0
            counts += torch.bincount(codes[inside], minlength=len(counts))
        shares = (counts / counts.sum()).sort(descending=True, stable=True)
        tables.append(pd.DataFrame({"seed": cell.seed, "code": shares.indices.numpy(), "share": shares.values.numpy()}))
    return pd.concat(tables, ignore_index=True)


@torch.inference_mode()
def healing_steps(experiment: Experiment, cases: Sequence[Case], *, method: str) -> dict[str, np.ndarray]:
    """Follow some test slices through the chain of `vqvae_transformer`, of the method's first seed.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment on slices, with the cohort's own split.
    cases : sequence of Case
        From `choose_cases`.
    method : str
        One of its methods.

    Returns
    -------
    dict of str to ndarray
        ``images``, ``reconstructions`` (of the VQ-VAE), ``surprises`` (negative log likelihood of each code, nats),
        ``unlikely`` (share of the draws, over samples and orders, in which a code is drawn anew), ``maps``, ``truths``
        and ``brain``, each ``(n, h, w)``; ``healed`` ``(n, m, h, w)``, the samples of the first order decoded; and
        ``averages`` ``(n, h, w)``, the mean over all samples and orders.

    Raises
    ------
    InputError
        The experiment is on volumes, or the method is another one.
    """
    store = experiment.store
    if len(store.spec.size) != 2:
        raise InputError(f"size: expected slices (h, w), found {store.spec.size}")
    model = _codebook_model(_cells(experiment, method)[0])
    if not isinstance(model, VQVAETransformer):
        raise InputError(f"method {method!r}: expected a vqvae_transformer, found a {model.name}")
    rows = experiment.test_rows[[case.position for case in cases]]
    batch = read_batch(store, rows, covariates=model.covariates)
    image, brain, height = batch["image"], batch["brain"], batch.get("height")
    healing = model.heal(image, height=height)
    samples = [model.decode(codes)[0] * brain for codes in healing.healed[:, 0].unbind(1)]
    shown = {
        "images": image,
        "reconstructions": model.decode(healing.codes)[0] * brain,
        "surprises": _enlarged(-healing.log_likelihood.mean(dim=1), image) * brain,
        "unlikely": _enlarged(healing.unlikely.float().mean(dim=(1, 2)), image) * brain,
        "averages": model.reconstruct(image, height=height),
        "maps": model.anomaly_map(image, height=height),
    }
    arrays = {name: reduce(tensor[:, :1], "n 1 h w -> n h w", "mean").numpy() for name, tensor in shown.items()}
    return arrays | {
        "healed": torch.stack([sample[:, 0] for sample in samples], dim=1).numpy(),
        "truths": store.lesion[rows] > 0,
        "brain": store.brain[rows],
    }


def healing_ablation(experiment: Experiment, method: MethodSpec) -> dict[str, dict[str, str]]:
    """Name the steps of the map of `vqvae_transformer` as settings of one trained method, for `run_map_variants`.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    method : MethodSpec
        One of its methods.

    Returns
    -------
    dict of str to dict of str to str
        ``"residual"``, ``"+ mask"``, ``"+ healing"`` (both in the first order alone), ``"+ ensemble"`` (all orders),
        and ``"likelihood alone"``, which is no step among these.
    """
    orders = _cells(experiment, str(method))[0].facts()["config"]["orderings"]
    first, every = orders[0], "+".join(orders)
    return {
        "residual": {"map_of": "residual"},
        "+ mask": {"map_of": "masked", "orderings": first},
        "+ healing": {"map_of": "healed", "orderings": first},
        "+ ensemble": {"map_of": "healed", "orderings": every},
        "likelihood alone": {"map_of": "likelihood"},
    }


def _cells(experiment: Experiment, method: str) -> list[Cell]:
    """Find a method's cells, one per seed."""
    cells = [cell for cell in experiment.cells if str(cell.spec) == method]
    if not cells or experiment.settings.folds:
        known = ", ".join(sorted({str(cell.spec) for cell in experiment.cells}))
        raise InputError(f"method {method!r}: expected one of {known}, trained on the cohort's own split")
    return cells


def _codebook_model(cell: Cell) -> VQVAE:
    """Load a run whose method has a codebook."""
    model: Method = load_run(cell.folds[0].run)[0]
    if not isinstance(model, VQVAE):
        raise InputError(f"method {str(cell.spec)!r}: expected one with a codebook, as vqvae")
    return cast(VQVAE, model).eval()


def _enlarged(grid: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Repeat each code's value ``(n, gh, gw)`` over its part of the image."""
    height, width = (side // cells for side, cells in zip(image.shape[2:], grid.shape[1:], strict=True))
    return repeat(grid, "n gh gw -> n 1 (gh height) (gw width)", height=height, width=width)
