"""Anomaly maps: of rows of a store, of a scan.

Axes: ``n`` rows, ``b`` batch, ``c`` channels, ``*s`` the size of the prepared images, ``d h w`` a scan's own grid.
"""

import dataclasses
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from uad_data.arrays import ArraySpec, ArrayStore, PreparedScan, prepare_scan
from uad_data.growing_array import growing_array
from uad_data.scan import Scan
from uad_models.checkpoint import replacing
from uad_models.devices import open_fabric
from uad_models.feeding import read_batch
from uad_models.method import Method
from uad_models.shared import computing_once

_VOXELS = 2**22  # at a time: bounds the memory that a network takes for volumes


@torch.inference_mode()
def predict_rows(
    method: Method,
    store: ArrayStore,
    rows: np.ndarray,
    out: str | Path,
    *,
    reconstruction_out: str | Path | None = None,
    scored: bool = True,
    batch_size: int = 32,
    accelerator: str = "auto",
    progress: bool = False,
) -> np.ndarray:
    """Stream rows of a store through a method and write their anomaly maps.

    Parameters
    ----------
    method
        A method, trained if it needs it.
    store
        The prepared arrays.
    rows
        ``(n,)`` int: which rows, in the order wanted.
    out
        A ``.npy`` file to write, ``(n, *s)`` float32; open it with ``np.load(out, mmap_mode="r")``.
    reconstruction_out
        A ``.npy`` file for the reconstructions, ``(n, c, *s)`` float32; None writes none.
    scored
        Give the scores of whole rows too, which for some methods take longer than the maps.
    batch_size
        Rows at a time, fewer of volumes; memory holds one batch.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    progress
        Show a progress bar.

    Returns
    -------
    ndarray
        ``(n,)`` float32, the anomaly score of each row; ``(0,)`` where none are asked for.

    Raises
    ------
    InputError
        The device is not there, or the disk is full; files that were there before are untouched.
    """
    spec = store.spec
    device = open_fabric(accelerator=accelerator).device
    scores = [np.empty(0, np.float32)]
    with ExitStack() as stack:

        def new_file(path: str | Path, *shape: int) -> Callable[[np.ndarray], None]:
            """Open a file that grows and appears when all is done."""
            return stack.enter_context(growing_array(stack.enter_context(replacing(Path(path))), shape, np.float32))

        add_map = new_file(out, *spec.size)
        if reconstruction_out:
            add_reconstruction = new_file(reconstruction_out, len(spec.modalities), *spec.size)
        method.to(device).eval()
        batch_size = max(1, min(batch_size, _VOXELS // math.prod(store.spec.size)))
        starts = range(0, len(rows), batch_size)
        for start in tqdm(starts, desc=f"{method.name} maps", unit="batch", disable=not progress):
            some = rows[start : start + batch_size]
            batch = read_batch(store, some, device=device, covariates=method.covariates)
            x, told = batch["image"], {name: batch[name] for name in method.covariates}
            with computing_once(method):
                add_map(_array(method.anomaly_map(x, **told))[:, 0])
                if scored:
                    scores.append(_array(method.anomaly_score(x, **told)))
                if reconstruction_out:
                    add_reconstruction(_array(method.reconstruct(x, **told)))
    return np.concatenate(scores)


def predict_volume(
    method: Method, scan: Scan, spec: ArraySpec, *, batch_size: int = 32, accelerator: str = "auto"
) -> np.ndarray:
    """Return the anomaly map of a scan in its own grid.

    Parameters
    ----------
    method
        A method, trained if it needs it.
    scan
        A scan with the spec's modalities.
    spec
        How the method's images were made. Its slice rule is not used: every slice with brain gets a map, also those
        near the crown and the skull base that training may have left out.
    batch_size
        Slices at a time.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    ndarray
        ``(d, h, w)`` float32; higher is more anomalous, 0 outside the brain.

    Raises
    ------
    InputError
        The scan cannot be prepared, or the device is not there.
    """
    items, maps = predict_items(method, scan, spec, batch_size=batch_size, accelerator=accelerator)
    return items.to_native(maps) * scan.brain


@torch.inference_mode()
def predict_items(
    method: Method, scan: Scan, spec: ArraySpec, *, batch_size: int = 32, accelerator: str = "auto"
) -> tuple[PreparedScan, np.ndarray]:
    """Return the anomaly maps of a scan as the method makes them: one per item, in the size that it was trained with.

    Parameters
    ----------
    method, scan, spec, batch_size, accelerator
        As `predict_volume`.

    Returns
    -------
    items : PreparedScan
        What the method saw, and the way back to the scan's grid.
    maps : ndarray
        ``(n, *s)`` float32.

    Raises
    ------
    InputError
        As `predict_volume`.
    """
    device = open_fabric(accelerator=accelerator).device
    method = method.to(device).eval()
    items = prepare_scan(scan, dataclasses.replace(spec, slices="pixels:1"))
    arrays = (items.image, *(getattr(items, name) for name in method.covariates))
    batches = zip(*(torch.from_numpy(array).to(device).float().split(batch_size) for array in arrays), strict=True)
    maps = [
        _array(method.anomaly_map(x, **dict(zip(method.covariates, told, strict=True))))[:, 0] for x, *told in batches
    ]
    return items, np.concatenate(maps)


def _array(tensor: Tensor) -> np.ndarray:
    """Turn a tensor into a float32 array."""
    return tensor.float().cpu().numpy()
