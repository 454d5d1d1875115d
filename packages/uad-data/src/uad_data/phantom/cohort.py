"""Write a cohort of phantoms: images, brain masks, lesion masks and the table that names them."""

import gzip
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from uad_data.atomic import atomic_path
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.phantom.anatomy import build_anatomy, grid_affine
from uad_data.phantom.contrast import SEQUENCES, acquire, paint
from uad_data.phantom.lesions import VOLUME_ML, add_lesion, draw_lesion

VERSION = 1
"""Changes whenever the same seed gives other images."""

PATHOLOGIES = ("healthy", *VOLUME_ML)
"""Names of the pathologies."""

# Ten people hold four healthy ones and one of each disease, so that sixty hold 24 and six of each.
_ORDER = (
    *("healthy", "tumour", "healthy", "ms", "healthy"),
    *("stroke_acute", "stroke_chronic", "healthy", "cyst_dark", "textured"),
)
_HEALTHY_SPLITS = ("train", "train", "test", "train", "val", "train", "train", "train")
_LESION_SPLITS = (
    ("test", "val", "train", "test", "val", "test"),
    ("val", "test", "train", "test", "train", "test"),
)


@dataclass(frozen=True)
class Subject:
    """One phantom.

    Attributes
    ----------
    images
        Sequence name to ``(x, y, z)`` int16, RAS+; 0 outside the brain.
    brain
        ``(x, y, z)`` bool.
    lesion
        ``(x, y, z)`` uint8 classes. tumour: 1 necrotic core, 2 oedema and infiltration, 3 enhancing; stroke_chronic: 1
        cavity, 2 rim; 1 for the others.
    affine
        ``(4, 4)`` voxel to RAS mm.
    """

    images: dict[str, np.ndarray]
    brain: np.ndarray
    lesion: np.ndarray
    affine: np.ndarray


def subject_plan(index: int) -> tuple[str, str, float]:
    """Return pathology, split and size of the lesion (0 to 1) of a subject, whatever the number of subjects.

    Parameters
    ----------
    index
        0 for the first subject.

    Returns
    -------
    tuple
        Of the first sixty, 24 are healthy (18 train, 3 validation, 3 test) and six have each disease (test three,
        validation one or two, the rest train); sizes of one disease are spread evenly.
    """
    turn, place = divmod(index, len(_ORDER))
    pathology = _ORDER[place]
    if pathology == "healthy":
        occurrence = turn * _ORDER.count("healthy") + _ORDER[:place].count("healthy")
        return pathology, _HEALTHY_SPLITS[occurrence % len(_HEALTHY_SPLITS)], 0.0
    kind = PATHOLOGIES.index(pathology)
    splits = _LESION_SPLITS[(kind + 1) % 2]
    # The golden ratio spreads any number of sizes evenly.
    return pathology, splits[turn % len(splits)], (0.25 + 0.17 * kind + 0.618034 * turn) % 1


def make_subject(index: int, *, seed: int = 0, spacing_mm: float = 2.0) -> Subject:
    """Make one phantom in memory.

    Parameters
    ----------
    index
        0 for the first subject.
    seed
        Of the cohort.
    spacing_mm
        Voxel size, 1 to 8 mm.

    Returns
    -------
    Subject
        The same bits for the same arguments.
    """
    streams = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(4)
    body, contrast, disease, scanner = (np.random.default_rng(s) for s in streams)
    pathology, _, size = subject_plan(index)
    lesion = draw_lesion(disease, build_anatomy(body, spacing=spacing_mm), pathology=pathology, size=size)
    ideal = add_lesion(paint(contrast, lesion.anatomy), lesion)
    brain = lesion.anatomy.brain
    images = {name: acquire(scanner, ideal[name], brain, sequence=name, spacing=spacing_mm) for name in SEQUENCES}
    return Subject(images, brain, lesion.mask, grid_affine(spacing_mm))


def write_phantom(
    out: str | Path, *, subjects: int = 60, seed: int = 0, spacing_mm: float = 2.0, workers: int = 1
) -> Cohort:
    """Write a cohort of phantoms, or what is missing of it.

    Parameters
    ----------
    out
        Folder for ``cohort.csv``, ``phantom.json`` (the settings) and a folder per subject with ``t1.nii.gz``,
        ``t1ce.nii.gz``, ``t2.nii.gz``, ``flair.nii.gz`` (int16, skull-stripped), ``brain.nii.gz``, ``lesion.nii.gz``.
    subjects
        Number of people, at least 1. More people leave the first ones as they are.
    seed
        At least 0. The files are the same byte for byte for a seed, whatever `workers`.
    spacing_mm
        Voxel size, 1 to 8 mm.
    workers
        Processes, at least 1. A script that asks for more than one needs ``if __name__ == "__main__":``.

    Returns
    -------
    Cohort
        Every split holds healthy people; val and test together hold every disease from 10 people on, and each of them
        from 20 on.

    Raises
    ------
    InputError
        A setting is out of range, or the folder holds a cohort of other settings or of another origin.

    Notes
    -----
    Subjects that are already there are kept; each appears under its name only when it is whole, so a run that was
    killed is continued by the same call. On FLAIR the intensity threshold finds bright lesions and misses dark and
    textured ones, and healthy people have bright caps, rims and cortex. A subject at 2 mm takes about two seconds of
    one core and 1.2 MB.
    """
    _check(subjects, seed, spacing_mm, workers)
    out = Path(out)
    _claim(out, {"phantom": VERSION, "seed": seed, "spacing_mm": float(spacing_mm)})
    names = [f"sub-{i:03d}" for i in range(subjects)]
    jobs = [(out / name, i, seed, float(spacing_mm)) for i, name in enumerate(names) if not (out / name).is_dir()]
    for _ in tqdm(_run(jobs, workers), total=len(jobs), desc="phantom", unit="subject", disable=None):
        pass
    rows = []
    for i, name in enumerate(names):
        pathology, split, _ = subject_plan(i)
        paths = {f"image_{s}": f"{name}/{s}.nii.gz" for s in SEQUENCES}
        paths |= {mask: f"{name}/{mask}.nii.gz" for mask in ("brain", "lesion")}
        rows.append({"subject": name, "session": "", "split": split, "pathology": pathology, **paths})
    cohort = Cohort(pd.DataFrame(rows), out)
    cohort.write(out / "cohort.csv")
    return cohort


def _check(subjects: int, seed: int, spacing_mm: float, workers: int) -> None:
    """Refuse settings out of range."""
    for name, value, least in (("subjects", subjects, 1), ("seed", seed, 0), ("workers", workers, 1)):
        if value < least:
            raise InputError(f"phantom: {name} must be at least {least}, found {value}")
    if not 1 <= spacing_mm <= 8:
        raise InputError(f"phantom: spacing_mm must be 1 to 8, found {spacing_mm}")


def _claim(out: Path, settings: dict[str, float]) -> None:
    """Write the settings into a new folder, or refuse a folder of other settings."""
    path = out / "phantom.json"
    if not path.exists():
        if (out / "cohort.csv").exists():
            raise InputError(
                f"{out}: expected an empty folder or a phantom cohort, found another cohort; choose another"
            )
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n")
        return
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: expected the settings of a phantom cohort, found no JSON; delete the folder"
        ) from error
    if found != settings:
        raise InputError(
            f"{out}: expected a phantom cohort with {settings}, found one with {found}; choose another folder"
        )


def _run(jobs: list[tuple[Path, int, int, float]], workers: int) -> Iterator[None]:
    """Write the subjects, here or in worker processes."""
    if workers == 1 or len(jobs) < 2:
        yield from map(_write_subject, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_subject, jobs)


def _write_subject(job: tuple[Path, int, int, float]) -> None:
    """Write one subject under another name, then give it its own."""
    folder, index, seed, spacing = job
    subject = make_subject(index, seed=seed, spacing_mm=spacing)
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    masks = {"brain": subject.brain.astype(np.uint8), "lesion": subject.lesion}
    for name, volume in {**subject.images, **masks}.items():
        _write_volume(partial / f"{name}.nii.gz", volume, subject.affine)
    partial.rename(folder)


def _write_volume(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file whose bytes do not hold the time and whose scaling is 1."""
    header = nib.Nifti1Image(volume, affine).header
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 352
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=5, mtime=0) as file:
        file.write(header.binaryblock + bytes(4) + volume.tobytes(order="F"))
