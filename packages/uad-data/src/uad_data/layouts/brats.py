"""The BraTS challenges of 2018 to 2021 and of 2023."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout

# Ending of a file's name -> our name for the sequence: 2018 to 2021, then 2023.
_SEQUENCES = {
    "_t1": "t1",
    "_t1ce": "t1ce",
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
_VISIT = re.compile(r"^(?P<subject>BraTS-[A-Za-z]+-\d+)-(?P<session>\d+)$")
# Part of a path -> pathology: the folders of 2018 and 2019, the tasks of 2023.
_PATHOLOGIES = {"HGG": "hgg", "LGG": "lgg", "MEN": "meningioma", "MET": "metastasis"}


def index(folder: Path) -> pd.DataFrame:
    """Find every folder that holds a case.

    Parameters
    ----------
    folder : Path
        A release's folder, or one above it.

    Returns
    -------
    DataFrame
        One row per case. The pathology is ``hgg`` or ``lgg`` under a folder of that name, ``meningioma`` or
        ``metastasis`` for the tasks MEN and MET of 2023, else ``glioma``.

    Raises
    ------
    InputError
        No case, a case without ``seg``, or a case without one of the four sequences.
    """
    cases: dict[Path, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*.nii*")):
        match = _FILE.match(path.name)
        if match and match["ending"] in _SEQUENCES and not path.name.startswith("."):
            cases.setdefault(path.parent / match["case"], {})[_SEQUENCES[match["ending"]]] = path
    if not cases:
        raise InputError(
            f"{folder}: expected BraTS cases such as BraTS2021_00000/BraTS2021_00000_flair.nii.gz or "
            "BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz, found none; give the folder of the cases"
        )
    return pd.DataFrame([_row(case, files, folder) for case, files in cases.items()])


def _row(case: Path, files: dict[str, Path], folder: Path) -> dict[str, str]:
    """Describe one case."""
    missing = [name for name in ("t1", "t1ce", "t2", "flair", "seg") if name not in files]
    if missing:
        raise InputError(
            f"{case.parent}: expected t1, t1ce, t2, flair and seg, found no {' and no '.join(missing)}; "
            "complete the case or move it away"
        )
    visit = _VISIT.match(case.name)
    parts = (*case.relative_to(folder.parent).parts[:-1], *case.name.split("-")[1:2])
    pathologies = [_PATHOLOGIES[part] for part in parts if part in _PATHOLOGIES]
    return {
        "subject": visit["subject"] if visit else case.name,
        "session": visit["session"] if visit else "",
        "pathology": pathologies[-1] if pathologies else "glioma",
        **{f"image_{name}": str(files[name]) for name in ("t1", "t1ce", "t2", "flair")},
        "lesion": str(files["seg"]),
    }


LAYOUT = Layout(
    name="brats",
    description="BraTS 2018 to 2021 and 2023, brain tumours: T1, T1ce, T2 and FLAIR, skull-stripped, 1 mm, with tumour "
    "classes",
    licence="the terms of each year's challenge, shown when you register",
    how_to_get="register at https://www.synapse.org, look for BraTS and unpack the training data",
    healthy="no healthy people: slices without tumour",
    index=index,
)
