"""Cohorts by name: the phantom, the real sets that a report can be made on, or a table of one's own."""

import os
from pathlib import Path

from uad_data import Cohort, index_layout, write_phantom
from uad_eval.errors import InputError

#: Name to layout, folder below UAD_REAL_DATA, and what its lesions are where the layout cannot know.
REAL_COHORTS = {"lgg": ("kaggle_3m", "lgg/kaggle_3m", "glioma"), "soop": ("images_masks", "soop", "stroke")}
REAL_DATA = "UAD_REAL_DATA"
PHANTOMS = ("phantom", "phantom_ct")


def open_cohort(
    name: str, *, cache: Path, subjects: int = 60, seed: int = 0, workers: int = 2, split: bool = True
) -> Cohort:
    """Open a cohort by name, making or indexing it when that has not been done.

    Parameters
    ----------
    name : str
        ``"phantom"`` (MRI), ``"phantom_ct"``, a key of `REAL_COHORTS`, or the path of a ``cohort.csv``.
    cache : Path
        Where phantoms and tables are kept.
    subjects, seed : int
        Of the phantom cohort.
    workers : int
        Processes that make it.
    split : bool
        Whether every scan must have a split; folds need none.

    Returns
    -------
    Cohort
        The scans.

    Raises
    ------
    InputError
        If the name is none of these, or the data are not where the environment says.
    """
    if name == "phantom":
        return write_phantom(cache / f"phantom-{subjects}-{seed}", subjects=subjects, seed=seed, workers=workers)
    if name == "phantom_ct":
        folder = cache / f"phantom-ct-{subjects}-{seed}"
        return write_phantom(folder, subjects=subjects, seed=seed, workers=workers, modality="ct")
    if name in REAL_COHORTS:
        return _index_real(name, cache / f"{name}.csv")
    check_cohort(name)
    path = Path(name)
    cohort = Cohort.read(path)
    if split and not (cohort.table["split"] != "").all():
        raise InputError(
            f"{path}: expected every scan in a split (train, val, test), found some without; "
            "fill in the column split, make the table with 'uad-data index', which does, or ask for folds"
        )
    return cohort


def check_cohort(name: str) -> None:
    """Refuse a name that `open_cohort` cannot open, before anything is made.

    Parameters
    ----------
    name : str
        As `open_cohort` takes it.

    Raises
    ------
    InputError
        If the name is none that is known, or the data are not where the environment says.
    """
    if name in REAL_COHORTS and not os.environ.get(REAL_DATA):
        raise InputError(f"cohort {name!r}: set the environment variable {REAL_DATA} to the folder that holds it")
    if name in (*PHANTOMS, *REAL_COHORTS):
        return
    if Path(name).suffix != ".csv":
        known = ", ".join([*PHANTOMS, *REAL_COHORTS])
        raise InputError(f"cohort {name!r}: expected one of {known}, or the path of a cohort.csv")


def _index_real(name: str, table: Path) -> Cohort:
    """Index a real set below ``UAD_REAL_DATA``."""
    check_cohort(name)
    root = os.environ[REAL_DATA]
    layout, folder, lesion = REAL_COHORTS[name]
    cohort = index_layout(layout, Path(root) / folder, out=table, seed=0)
    pathology = cohort.table["pathology"].where(cohort.table["pathology"] == "healthy", lesion)
    return Cohort(cohort.table.assign(pathology=pathology), cohort.root)
