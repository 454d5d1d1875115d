"""The BraTS challenges from 2013 to 2024."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import files_below

# Ending of a file's name -> our name for the sequence: 2017 to 2021, then 2023 and 2024.
_SEQUENCES = {
    "_t1": "t1",
    "_t1ce": "t1ce",
    "_t1c": "t1ce",
    "_t2": "t2",
    "_flair": "flair",
    "-t1n": "t1",
    "-t1c": "t1ce",
    "-t2w": "t2",
    "-t2f": "flair",
    "_seg": "seg",
    "-seg": "seg",
}
_FILE = re.compile(r"^(?P<case>.+?)(?P<ending>[_-][a-z0-9]+)\.nii(\.gz)?$")
# 2013 and 2015: a folder per sequence, named alike, which holds one MetaImage file. OT is the tumour.
_META = re.compile(r"^VSD\.\w+\.(\w+\.)*?(MR_(?P<kind>T1c|T1|T2|Flair)|(?P<tumour>OT))\.\d+\.mha$")
_VISITS = (
    re.compile(r"^(?P<subject>BraTS-[A-Za-z]+-\d+)-(?P<session>\d+)$"),
    re.compile(r"^(?P<subject>brats_tcia_pat\d+)_(?P<session>\d+)$"),
)
# Part of a path -> pathology: the folders of 2013, those of 2015 to 2019, the tasks of 2023 and 2024.
_PATHOLOGIES = {
    "HG": "hgg",
    "LG": "lgg",
    "HGG": "hgg",
    "LGG": "lgg",
    "MEN": "meningioma",
    "MET": "metastasis",
    "PED": "paediatric tumour",
}


def index(folder: Path) -> pd.DataFrame:
    """Find every folder that holds a case.

    Parameters
    ----------
    folder : Path
        A release's folder, or one above it.

    Returns
    -------
    DataFrame
        One row per case. The pathology is ``hgg`` or ``lgg`` under a folder of that name (2013: HG, LG),
        ``meningioma``, ``metastasis`` or ``paediatric tumour`` for the tasks MEN, MET and PED since 2023, else
        ``glioma``. The adults' task GLI of 2024 shows brains after surgery; label 4 is the resection cavity.

    Raises
    ------
    InputError
        No case, a case without ``seg``, a case without one of the four sequences, or two files for one of them.
    """
    cases: dict[Path, dict[str, Path]] = {}
    for path in files_below(folder, (".nii", ".nii.gz", ".mha")):
        case, name = _place(path)
        if not name:
            continue
        files = cases.setdefault(case, {})
        if name in files:
            raise InputError(f"{path}: expected one file for {name} of its case, found also {files[name]}")
        files[name] = path
    if not cases:
        raise InputError(
            f"{folder}: expected BraTS cases such as BraTS2021_00000/BraTS2021_00000_flair.nii.gz or "
            "BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz, found none; give the folder of the cases"
        )
    return pd.DataFrame([_row(case, files, folder) for case, files in cases.items()])


def _place(path: Path) -> tuple[Path, str]:
    """Give the case that a file belongs to, and its sequence or seg; an empty name for other files."""
    meta = _META.match(path.name)
    if meta:
        return path.parent.parent, "seg" if meta["tumour"] else _SEQUENCES["_" + meta["kind"].lower()]
    match = _FILE.match(path.name)
    if match and match["ending"] in _SEQUENCES:
        return path.parent / match["case"], _SEQUENCES[match["ending"]]
    return path, ""


def _row(case: Path, files: dict[str, Path], folder: Path) -> dict[str, str]:
    """Describe one case."""
    missing = [name for name in ("t1", "t1ce", "t2", "flair", "seg") if name not in files]
    if missing:
        raise InputError(
            f"{next(iter(files.values())).parent}: expected t1, t1ce, t2, flair and seg, found no "
            f"{' and no '.join(missing)}; "
            "complete the case or move it away"
        )
    visit = next((match for pattern in _VISITS if (match := pattern.match(case.name))), None)
    parts = (*case.relative_to(folder.parent).parts[:-1], *case.name.split("-")[1:2])
    pathologies = [_PATHOLOGIES[part] for part in parts if part in _PATHOLOGIES]
    return {
        "subject": visit["subject"] if visit else _subject(case),
        "session": visit["session"] if visit else "",
        "pathology": pathologies[-1] if pathologies else "glioma",
        **{f"image_{name}": str(files[name]) for name in ("t1", "t1ce", "t2", "flair")},
        "lesion": str(files["seg"]),
    }


def _subject(case: Path) -> str:
    """Name a case; those of 2013 have mere numbers, once under HG and once under LG."""
    return f"{case.parent.name}-{case.name}" if case.name.isdecimal() else case.name


LAYOUT = Layout(
    name="brats",
    description="BraTS 2013 to 2024, brain tumours: T1, T1ce, T2 and FLAIR, skull-stripped, 1 mm, with tumour classes "
    "(2013 and 2015 as .mha, which takes SimpleITK; 2024 GLI after surgery, label 4 the resection cavity)",
    licence="the terms of each year's challenge, shown when you register",
    how_to_get="register at https://www.synapse.org (2013 and 2015: https://www.smir.ch), look for BraTS and unpack "
    "the training data",
    healthy="no healthy people: slices without tumour",
    index=index,
)
