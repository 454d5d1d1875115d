"""A whole cohort through a recipe: in parallel, on one machine or many, and again after a kill."""

import errno
import json
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from uad_data.atomic import atomic_path
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.preparation.one_scan import Prepared, prepare_raw, prepared_key
from uad_data.preparation.recipe import Recipe
from uad_data.table import IMAGE

SIDECAR = "prepare.json"
RECIPE = "recipe.json"
FAILED = "failed.csv"
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a cohort.

    Parameters
    ----------
    cohort : Cohort
        The scans that are prepared; also in ``cohort.csv``.
    failed : DataFrame
        Columns subject, session, error: the scans that could not be; also in ``failed.csv`` unless it is empty.
    made : int
        How many were made now; the others were there.
    """

    cohort: Cohort
    failed: pd.DataFrame
    made: int


def prepare_cohort(
    cohort: Cohort,
    recipe: Recipe,
    out: str | Path,
    *,
    workers: int = 1,
    scheduler: str = "",
    progress: bool = True,
) -> Outcome:
    """Take every scan of a cohort through a recipe.

    Each scan gets a folder that appears by one rename, when it is whole. Scans that are there, from the same files by
    the same recipe, are not made again; one that cannot be used is named at the end and does not stop the rest.

    Parameters
    ----------
    cohort : Cohort
        The raw scans. A scan is prepared with the sequences that it has.
    recipe : Recipe
        What to do.
    out : str or Path
        Folder to write: a folder per scan, ``cohort.csv``, ``recipe.json`` and, where a scan failed, ``failed.csv``.
    workers : int, default: 1
        Processes on this machine. The files are the same for any number.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://host:8786``: scans go to its workers, which must see the same
        folders.
    progress : bool, default: True
        Show a progress bar.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Another command is writing to `out`, no scan could be prepared, a worker was killed, the disk is full, or the
        Dask scheduler cannot be reached.
    """
    out = Path(os.path.abspath(out))
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        for left in out.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        write_json(out / RECIPE, recipe.to_dict())
        jobs = {i: _job(cohort, i, recipe, out) for i in range(len(cohort))}
        waiting = {i: job for i, job in jobs.items() if not _is_there(job)}
        errors: dict[int, str] = {}
        bar = tqdm(total=len(waiting), desc="preparing scans", unit="scan", disable=None if progress else True)
        with bar, _executor(workers, scheduler) as executor:
            for i, error in _run(waiting, executor):
                bar.update()
                if error:
                    errors[i] = error
        return _publish(cohort, errors, out, made=len(waiting.keys() - errors.keys()))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_prepared(prepared: Prepared, folder: Path) -> None:
    """Write a prepared scan's folder, whole or not at all; one that was there before gives way.

    Parameters
    ----------
    prepared : Prepared
        The scan.
    folder : Path
        Where it shall stand; its parent is there.
    """
    temporary = folder.with_name(f"{_TEMPORARY}{uuid.uuid4().hex[:8]}-{folder.name}")
    temporary.mkdir()
    try:
        scan = prepared.scan
        for name, image in zip(scan.modalities, scan.image, strict=True):
            _save(image, scan.affine, temporary / f"{name}.nii.gz")
        _save(scan.brain.astype(np.uint8), scan.affine, temporary / "brain.nii.gz")
        if scan.lesion is not None:
            _save(scan.lesion, scan.affine, temporary / "lesion.nii.gz")
        write_json(temporary / SIDECAR, prepared.record)
        if folder.exists():
            folder.rename(temporary.with_name(f"{temporary.name}-old"))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_name(f"{temporary.name}-old"), ignore_errors=True)


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know of one scan."""

    images: dict[str, str]
    masks: dict[str, str]
    names: dict[str, str]
    recipe: Recipe
    folder: Path


def _job(cohort: Cohort, i: int, recipe: Recipe, out: Path) -> _Job:
    """Describe one scan."""
    row = cohort.table.iloc[i]
    return _Job(
        images={name: cohort.source(i, IMAGE + name) for name in cohort.row_modalities(i)},
        masks={name: cohort.source(i, name) for name in ("brain", "lesion")},
        names={name: row[name] for name in ("subject", "session", "pathology")},
        recipe=recipe,
        folder=out / "_".join(filter(None, (row["subject"], row["session"]))).replace("/", "-"),
    )


def _is_there(job: _Job) -> bool:
    """Tell whether the scan stands, made of the same files by the same recipe."""
    try:
        record = json.loads((job.folder / SIDECAR).read_text(encoding="utf-8"))
        key = json.loads(json.dumps(prepared_key(job.images, job.recipe, **job.masks)))
    except (OSError, ValueError):  # no folder, or no file any more: preparing says what is wrong
        return False
    return all(record.get(name) == value for name, value in key.items())


def _work(job: _Job) -> str:
    """Prepare and write one scan; return what went wrong, or nothing."""
    try:
        write_prepared(prepare_raw(job.images, job.recipe, **job.masks, **job.names), job.folder)
    except InputError as error:
        return str(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"{next(iter(job.images.values()))}: {error}"
    except Exception as error:  # one scan must not stop the rest, whatever a library makes of it
        return f"{next(iter(job.images.values()))}: {type(error).__name__}: {error}"
    return ""


def _run(jobs: Mapping[int, _Job], executor: Executor | None) -> Iterator[tuple[int, str]]:
    """Yield (row, error or nothing) as scans come to their end."""
    try:
        if executor is None:
            yield from ((i, _work(job)) for i, job in jobs.items())
            return
        futures = {executor.submit(_work, job): i for i, job in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker was killed, most often for want of memory: run the same command again with fewer --workers; "
            "finished scans are kept"
        ) from error
    except OSError as error:
        raise InputError(f"the disk is full ({error}): free some space and run the same command again") from error


@contextmanager
def _executor(workers: int, scheduler: str) -> Iterator[Executor | None]:
    """Open what runs the scans: nothing, processes, or a Dask cluster."""
    if scheduler:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("--scheduler needs Dask: pip install 'uad-data[dask]'") from error
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise InputError(f"scheduler {scheduler}: expected a Dask scheduler, found none ({error})") from error
        with client, client.get_executor(pure=False) as executor:
            yield executor
    elif workers == 1:
        yield None
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as executor:
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second command off the folder; the lock falls when the process ends, however it ends."""
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"{out}: another 'uad-data prepare' is writing here; wait for it, or choose another folder"
        ) from error


def _publish(cohort: Cohort, errors: Mapping[int, str], out: Path, *, made: int) -> Outcome:
    """Write the tables."""
    failed = pd.DataFrame(
        [(*cohort.table.iloc[i][["subject", "session"]], errors[i]) for i in sorted(errors)],
        columns=["subject", "session", "error"],
    )
    if len(failed):
        with atomic_path(out / FAILED) as temporary:
            failed.to_csv(temporary, index=False)
    else:
        (out / FAILED).unlink(missing_ok=True)
    good = [i for i in range(len(cohort)) if i not in errors]
    if not good:
        raise InputError(f"{out}: none of {len(cohort)} scans could be prepared; the first: {failed['error'].iloc[0]}")
    rows = [_row(cohort, i, out) for i in good]
    prepared = Cohort(pd.DataFrame(rows).fillna(""), out)
    prepared.write(out / "cohort.csv")
    return Outcome(prepared, failed, made)


def _row(cohort: Cohort, i: int, out: Path) -> dict[str, str]:
    """Describe a prepared scan: the raw table's row with the new files."""
    kept = {name: value for name, value in cohort.table.iloc[i].items() if not name.startswith(IMAGE)}
    job = _job(cohort, i, Recipe("", ()), out)
    files = {IMAGE + name: str(job.folder / f"{name}.nii.gz") for name in job.images}
    lesion = job.folder / "lesion.nii.gz"
    masks = {"brain": str(job.folder / "brain.nii.gz"), "lesion": str(lesion) if lesion.exists() else ""}
    return kept | files | masks | {"sidecar": str((job.folder / SIDECAR).relative_to(out))}


def _save(volume: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write one NIfTI file, with the template or scanner space in both of its affines."""
    image = nib.Nifti1Image(volume.transpose(2, 1, 0), affine)
    image.set_qform(affine, code=2)
    image.set_sform(affine, code=2)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
