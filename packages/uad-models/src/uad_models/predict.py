"""Anomaly maps: of rows of a store, of a scan, of a cohort.

Axes: ``n`` rows, ``b`` batch, ``c`` channels, ``*s`` the size of the prepared images, ``d h w`` a scan's own grid.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from uad_data.arrays import ArraySpec, ArrayStore, prepare_scan
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.growing_array import growing_array
from uad_data.readers import write_like
from uad_data.scan import Scan
from uad_models.checkpoint import replacing
from uad_models.devices import open_fabric
from uad_models.feeding import read_batch
from uad_models.method import Method
from uad_models.run_folder import load_run

_NIFTI = (".nii.gz", ".nii")


@torch.inference_mode()
def predict_rows(
    method: Method,
    store: ArrayStore,
    rows: np.ndarray,
    out: str | Path,
    *,
    reconstruction_out: str | Path | None = None,
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
    batch_size
        Rows at a time; memory holds one batch.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    progress
        Show a progress bar.

    Returns
    -------
    ndarray
        ``(n,)`` float32, the anomaly score of each row.

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
        stack.enter_context(_reconstructing_once(method.to(device).eval()))
        starts = range(0, len(rows), batch_size)
        for start in tqdm(starts, desc=f"{method.name} maps", unit="batch", disable=not progress):
            x = read_batch(store, rows[start : start + batch_size], device=device)["image"]
            add_map(_array(method.anomaly_map(x))[:, 0])
            scores.append(_array(method.anomaly_score(x)))
            if reconstruction_out:
                add_reconstruction(_array(method.reconstruct(x)))
    return np.concatenate(scores)


@torch.inference_mode()
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
    device = open_fabric(accelerator=accelerator).device
    method = method.to(device).eval()
    prepared = prepare_scan(scan, dataclasses.replace(spec, slices="pixels:1"))
    images = torch.from_numpy(prepared.image)
    maps = [_array(method.anomaly_map(x.to(device).float()))[:, 0] for x in images.split(batch_size)]
    return prepared.to_native(np.concatenate(maps)) * scan.brain


def predict_scan(
    run: str | Path,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    brain: str | Path | None = None,
    accelerator: str = "auto",
) -> None:
    """Write the anomaly map of one scan, in the scan's own grid, orientation and header.

    Parameters
    ----------
    run
        The folder of a finished run.
    paths
        The scan's sequences, in the order that the run was trained with (``arrays.modalities`` in its
        ``config.json``): NIfTI files, or pictures as in `uad_data.readers`.
    out
        The file to write: ``.nii`` or ``.nii.gz`` for a NIfTI scan, ``.tif`` for pictures.
    brain
        A brain mask; None finds the brain.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    InputError
        The run or the scan cannot be used, the number of sequences is not the run's, or the disk is full.
    """
    method, config = load_run(run)
    names = config.spec.modalities
    if len(paths) != len(names):
        raise InputError(
            f"run {run} needs {len(names)} sequence(s) of a scan, in this order: {', '.join(names)}; found {len(paths)}"
        )
    images = {f"image_{name}": os.path.abspath(path) for name, path in zip(names, paths, strict=True)}
    row = {"subject": stem(paths[0]), "pathology": "", **images, "brain": os.path.abspath(brain) if brain else ""}
    scan = Cohort(pd.DataFrame([row]), Path()).load(0, modalities=names)
    _write(out, predict_volume(method, scan, config.spec, accelerator=accelerator), paths[0])


def predict_cohort(
    run: str | Path,
    cohort: Cohort,
    out: str | Path,
    *,
    accelerator: str = "auto",
    progress: bool = True,
) -> list[Path]:
    """Write the anomaly map of every scan of a cohort that has the run's sequences.

    Parameters
    ----------
    run
        The folder of a finished run.
    cohort
        The scans; select a split first to map only that.
    out
        A folder; a scan's map is ``<subject>[_<session>]_map.nii.gz``, or ``.tif`` for pictures.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    progress
        Show a progress bar.

    Returns
    -------
    list of Path
        The files, in the cohort's order.

    Raises
    ------
    InputError
        The run or a scan cannot be used, or the disk is full.
    """
    method, config = load_run(run)
    spec = config.spec
    cohort = cohort.with_modalities(spec.modalities)
    written = []
    for i in tqdm(range(len(cohort)), desc=f"{method.name} maps", unit="scan", disable=not progress):
        scan = cohort.load(i, modalities=spec.modalities)
        source = cohort.source(i, f"image_{spec.modalities[0]}")
        name = "_".join(filter(None, (scan.subject, scan.session)))
        path = map_path(out, name, source)
        _write(path, predict_volume(method, scan, spec, accelerator=accelerator), source)
        written.append(path)
    return written


def map_path(folder: str | Path, name: str, source: str | Path) -> Path:
    """Return where the map of a scan goes.

    Parameters
    ----------
    folder, name
        Of the map.
    source
        The scan's image: NIfTI gives NIfTI, pictures give TIFF.

    Returns
    -------
    Path
        ``folder/name_map.nii.gz`` or ``folder/name_map.tif``.
    """
    return Path(folder) / f"{name}_map{'.nii.gz' if str(source).endswith(_NIFTI) else '.tif'}"


def stem(source: str | Path) -> str:
    """Return the name of a scan's file without endings, wildcards and channel.

    Parameters
    ----------
    source
        As in `uad_data.readers`.

    Returns
    -------
    str
        ``"scan"`` for ``"folder/scan.nii.gz"``.
    """
    name = Path(str(source).partition("#")[0]).name
    for ending in (*_NIFTI, Path(name).suffix):
        name = name.removesuffix(ending)
    return "".join(letter for letter in name if letter not in "*?[]").strip("_-") or "scan"


def _write(out: str | Path, volume: np.ndarray, source: str | Path) -> None:
    """Write a map on the grid of its scan."""
    try:
        write_like(out, volume, source)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error}; make room or choose another folder") from error


def _array(tensor: Tensor) -> np.ndarray:
    """Turn a tensor into a float32 array."""
    return tensor.float().cpu().numpy()


@contextmanager
def _reconstructing_once(method: Method) -> Iterator[None]:
    """Let map, score and reconstruction of one batch share one reconstruction, which is most of the work."""
    reconstruct = method.reconstruct
    last: dict[str, Tensor] = {}

    def remember(x: Tensor) -> Tensor:
        if last.get("x") is not x:
            last.update(x=x, reconstruction=reconstruct(x))
        return last["reconstruction"]

    method.reconstruct = remember  # type: ignore[method-assign]
    try:
        yield
    finally:
        del method.reconstruct
