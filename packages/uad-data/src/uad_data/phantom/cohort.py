"""Write a cohort of phantoms: images, brain masks, lesion masks and the table that names them."""

import gzip
import json
import os
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
from uad_data.phantom.ct import acquire_ct, ct_affine, enclose, paint_ct, with_room
from uad_data.phantom.ct_lesions import CT_PATHOLOGIES, add_ct_lesion, draw_ct_lesion
from uad_data.phantom.lesions import VOLUME_ML, add_lesion, draw_lesion

VERSION = 1
"""Changes whenever the same seed gives other images."""

PATHOLOGIES = ("healthy", *VOLUME_ML)
"""Names of the pathologies of MRI."""


@dataclass(frozen=True)
class _Plan:
    """Who has what and is in which split, in turns: the order of pathologies, splits of healthy and of ill people."""

    pathologies: tuple[str, ...]
    sequences: tuple[str, ...]
    order: tuple[str, ...]
    healthy_splits: tuple[str, ...]
    lesion_splits: tuple[tuple[str, ...], tuple[str, ...]]


_PLANS = {
    # Ten people hold four healthy ones and one of each disease, so that sixty hold 24 and six of each.
    "mri": _Plan(
        PATHOLOGIES,
        SEQUENCES,
        (
            *("healthy", "tumour", "healthy", "ms", "healthy"),
            *("stroke_acute", "stroke_chronic", "healthy", "cyst_dark", "textured"),
        ),
        ("train", "train", "test", "train", "val", "train", "train", "train"),
        (("test", "val", "train", "test", "val", "test"), ("val", "test", "train", "test", "train", "test")),
    ),
    # Fourteen hold seven healthy ones and one of each disease. As in the thesis, nobody ill is trained on.
    "ct": _Plan(
        CT_PATHOLOGIES,
        ("ct",),
        tuple(name for kind in CT_PATHOLOGIES[1:] for name in ("healthy", kind)),
        ("train", "train", "test", "train", "val", "train", "test", "train"),
        (("test", "val", "test", "test"), ("val", "test", "test", "test")),
    ),
}
MODALITIES = tuple(_PLANS)
"""What a phantom can be scanned by."""


@dataclass(frozen=True)
class Subject:
    """One phantom.

    Attributes
    ----------
    images
        Sequence name to ``(x, y, z)`` int16, RAS+; 0 outside the brain. Of CT the whole head in HU.
    brain
        ``(x, y, z)`` bool.
    lesion
        ``(x, y, z)`` uint8 classes. tumour: 1 necrotic core, 2 oedema and infiltration, 3 enhancing (CT: solid);
        stroke_chronic: 1 cavity, 2 rim; bleed: 1 blood, 2 oedema; 1 for the others.
    affine
        ``(4, 4)`` voxel to RAS mm.
    """

    images: dict[str, np.ndarray]
    brain: np.ndarray
    lesion: np.ndarray
    affine: np.ndarray


def subject_plan(index: int, modality: str = "mri") -> tuple[str, str, float]:
    """Return pathology, split and size of the lesion (0 to 1) of a subject, whatever the number of subjects.

    Parameters
    ----------
    index
        0 for the first subject.
    modality
        ``"mri"`` or ``"ct"``.

    Returns
    -------
    tuple
        Of the first sixty of MRI, 24 are healthy (18 train, 3 validation, 3 test) and six have each disease (test
        three, validation one or two, the rest train). Of the first 56 of CT, 28 are healthy (17 train, 4 validation,
        7 test) and four have each disease (test three, validation one). Sizes of one disease are spread evenly.

    Raises
    ------
    InputError
        There is no such modality.
    """
    plan = _plan(modality)
    turn, place = divmod(index, len(plan.order))
    pathology = plan.order[place]
    if pathology == "healthy":
        occurrence = turn * plan.order.count("healthy") + plan.order[:place].count("healthy")
        return pathology, plan.healthy_splits[occurrence % len(plan.healthy_splits)], 0.0
    kind = plan.pathologies.index(pathology)
    splits = plan.lesion_splits[(kind + 1) % 2]
    # The golden ratio spreads any number of sizes evenly.
    return pathology, splits[turn % len(splits)], (0.25 + 0.17 * kind + 0.618034 * turn) % 1


def make_subject(index: int, *, seed: int = 0, spacing_mm: float = 2.0, modality: str = "mri") -> Subject:
    """Make one phantom in memory.

    Parameters
    ----------
    index
        0 for the first subject.
    seed
        Of the cohort.
    spacing_mm
        Voxel size, 1 to 8 mm.
    modality
        ``"mri"`` or ``"ct"``. Both scan the same people before they fall ill.

    Returns
    -------
    Subject
        The same bits for the same arguments.
    """
    streams = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(4)
    body, contrast, disease, scanner = (np.random.default_rng(s) for s in streams)
    pathology, _, size = subject_plan(index, modality)
    healthy = build_anatomy(body, spacing=spacing_mm)
    if modality == "ct":
        ill = draw_ct_lesion(disease, healthy, pathology=pathology, size=size)
        head = enclose(contrast, add_ct_lesion(paint_ct(contrast, ill.anatomy), ill), ill.anatomy)
        scan = acquire_ct(scanner, head, ill.anatomy)
        brain, mask = (with_room(each, spacing_mm, 0) for each in (ill.anatomy.brain, ill.mask))
        return Subject({"ct": scan}, brain, mask, ct_affine(spacing_mm))
    lesion = draw_lesion(disease, healthy, pathology=pathology, size=size)
    ideal = add_lesion(paint(contrast, lesion.anatomy), lesion)
    brain = lesion.anatomy.brain
    images = {name: acquire(scanner, ideal[name], brain, sequence=name, spacing=spacing_mm) for name in SEQUENCES}
    return Subject(images, brain, lesion.mask, grid_affine(spacing_mm))


def write_phantom(
    out: str | Path,
    *,
    subjects: int = 60,
    seed: int = 0,
    spacing_mm: float = 2.0,
    workers: int = 1,
    modality: str = "mri",
) -> Cohort:
    """Write a cohort of phantoms, or what is missing of it.

    Parameters
    ----------
    out
        Folder for ``cohort.csv``, ``phantom.json`` (the settings) and a folder per subject with ``t1.nii.gz``,
        ``t1ce.nii.gz``, ``t2.nii.gz``, ``flair.nii.gz`` (int16, skull-stripped), ``brain.nii.gz``, ``lesion.nii.gz``;
        of CT, ``ct.nii.gz`` (int16, Hounsfield units, the whole head) in place of the four sequences.
    subjects
        Number of people, at least 1. More people leave the first ones as they are.
    seed
        At least 0. The files are the same byte for byte for a seed, whatever `workers`.
    spacing_mm
        Voxel size, 1 to 8 mm.
    workers
        Processes, at least 1. A script that asks for more than one needs ``if __name__ == "__main__":``.
    modality
        ``"mri"`` or ``"ct"``.

    Returns
    -------
    Cohort
        Every split holds healthy people; val and test together hold every disease from 10 people on (of CT, 14), and
        each of them from 20 on (28).

    Raises
    ------
    InputError
        A setting is out of range, or the folder holds a cohort of other settings or of another origin.

    Notes
    -----
    Subjects that are already there are kept; each appears under its name only when it is whole, so a run that was
    killed is continued by the same call. On FLAIR the intensity threshold finds bright lesions and misses dark and
    textured ones, and healthy people have bright caps, rims and cortex. A subject at 2 mm takes about 1.3 seconds
    of one core and 1.2 MB (of CT, two and 1.9 MB).
    """
    _check(subjects, seed, spacing_mm, workers, modality)
    out = Path(out)
    settings: dict[str, float | str] = {"phantom": VERSION, "seed": seed, "spacing_mm": float(spacing_mm)}
    _claim(out, settings | ({} if modality == "mri" else {"modality": modality}))
    names = [f"sub-{i:03d}" for i in range(subjects)]
    jobs = [
        (out / name, i, seed, float(spacing_mm), modality) for i, name in enumerate(names) if not (out / name).is_dir()
    ]
    for _ in tqdm(_run(jobs, workers), total=len(jobs), desc="phantom", unit="subject", disable=None):
        pass
    rows = []
    for i, name in enumerate(names):
        pathology, split, _ = subject_plan(i, modality)
        paths = {f"image_{s}": f"{name}/{s}.nii.gz" for s in _PLANS[modality].sequences}
        paths |= {mask: f"{name}/{mask}.nii.gz" for mask in ("brain", "lesion")}
        rows.append({"subject": name, "session": "", "split": split, "pathology": pathology, **paths})
    cohort = Cohort(pd.DataFrame(rows), out)
    cohort.write(out / "cohort.csv")
    return cohort


def _plan(modality: str) -> _Plan:
    """Give a modality's plan."""
    if modality not in _PLANS:
        raise InputError(f"phantom: modality must be {' or '.join(MODALITIES)}, found {modality!r}")
    return _PLANS[modality]


def _check(subjects: int, seed: int, spacing_mm: float, workers: int, modality: str) -> None:
    """Refuse settings out of range."""
    for name, value, least in (("subjects", subjects, 1), ("seed", seed, 0), ("workers", workers, 1)):
        if value < least:
            raise InputError(f"phantom: {name} must be at least {least}, found {value}")
    if not 1 <= spacing_mm <= 8:
        raise InputError(f"phantom: spacing_mm must be 1 to 8, found {spacing_mm}")
    _plan(modality)


def _claim(out: Path, settings: dict[str, float | str]) -> None:
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


def _run(jobs: list[tuple[Path, int, int, float, str]], workers: int) -> Iterator[None]:
    """Write the subjects, here or in worker processes."""
    if workers == 1 or len(jobs) < 2:
        yield from map(_write_subject, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_subject, jobs)


def _write_subject(job: tuple[Path, int, int, float, str]) -> None:
    """Write one subject under a name of this process, then give it its own; another run may do the same meanwhile."""
    folder, index, seed, spacing, modality = job
    subject = make_subject(index, seed=seed, spacing_mm=spacing, modality=modality)
    masks = {"brain": subject.brain.astype(np.uint8), "lesion": subject.lesion}
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(exist_ok=True)
        for name, volume in {**subject.images, **masks}.items():
            _write_volume(partial / f"{name}.nii.gz", volume, subject.affine)
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():  # else the other run was first, with the same bytes
            raise
    for left in folder.parent.glob(f".{folder.name}.*partial"):
        shutil.rmtree(left, ignore_errors=True)


def _write_volume(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file whose bytes do not hold the time and whose scaling is 1."""
    header = nib.Nifti1Image(volume, affine).header
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 352
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=5, mtime=0) as file:
        file.write(header.binaryblock + bytes(4) + volume.tobytes(order="F"))
