"""NIfTI files in a folder per subject, or side by side with the subject in their names."""

import logging
import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.readers import read_labels
from uad_data.readers.nifti import SUFFIXES

logger = logging.getLogger(__name__)

# Word in a file's name -> our name for the sequence.
_SEQUENCES = {
    "flair": "flair",
    "t1": "t1",
    "t1w": "t1",
    "t1ce": "t1ce",
    "t1post": "t1ce",
    "t1gd": "t1ce",
    "t2": "t2",
    "t2w": "t2",
    "ct": "ct",
}
_LESION = {"seg", "lesion", "mask", "label"}
_VISIT = re.compile(r"^(?P<subject>.+?)[_-]ses-(?P<session>[^_]+)$")


def index(folder: Path) -> pd.DataFrame:
    """Sort the files by subject and sequence.

    Parameters
    ----------
    folder : Path
        Holds ``<subject>/<name>.nii.gz`` or ``<subject>_<name>.nii.gz``, where the name's first word that is a
        sequence (flair, t1, t1ce, t1post, t1gd, t2, ct; case does not matter) says which, and seg, lesion, mask,
        label or gold_standard says that it is the lesion mask; ``brain`` or ``brain_mask`` is the brain's.

    Returns
    -------
    DataFrame
        One row per subject, or per visit where the subject ends in ``_ses-<visit>``. The pathology is ``healthy``
        where the mask is empty, ``lesion`` where it is not, and ``unknown`` without masks. Files whose names say
        nothing are logged.

    Raises
    ------
    InputError
        No file with a sequence in its name, two files for one place, or masks for some of the subjects only.
    """
    subjects: dict[str, dict[str, Path]] = {}
    ignored = []
    paths = sorted(path for path in (*folder.glob("*.nii*"), *folder.glob("*/*.nii*")) if _is_nifti(path))
    for path in paths:
        subject, column = _place(path, folder)
        if not column or not subject:
            ignored.append(path.relative_to(folder).as_posix())
            continue
        files = subjects.setdefault(subject, {})
        if column in files:
            raise InputError(
                f"{path}: expected one file for {column} of subject {subject}, found also {files[column].name}; "
                "move one away"
            )
        files[column] = path
    scans = {subject: files for subject, files in subjects.items() if any(name.startswith("image_") for name in files)}
    ignored += [
        path.relative_to(folder).as_posix()
        for name in subjects
        if name not in scans
        for path in subjects[name].values()
    ]
    if not scans:
        raise InputError(
            f"{folder}: expected files such as patient1/flair.nii.gz or patient1_flair.nii.gz, "
            f"found {_some(ignored) if ignored else 'no NIfTI file'}; sequences known: {', '.join(_SEQUENCES)}"
        )
    if ignored:
        logger.warning("%d files have no sequence in their names and are left out: %s", len(ignored), _some(ignored))
    _check_masks(scans, folder)
    return pd.DataFrame([_row(subject, files) for subject, files in scans.items()]).fillna("")


def _is_nifti(path: Path) -> bool:
    """Tell whether this is a NIfTI file and not a hidden one."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _place(path: Path, folder: Path) -> tuple[str, str]:
    """Read the subject and the column out of a file's name; the column is empty where the name says nothing."""
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    words = re.split(r"[_\-.\s]+", stem)
    lower = [word.lower() for word in words]
    column, position = _column(lower)
    if path.parent != folder:
        return path.parent.name, column
    # The subject is the part of the name, with its own separators, before the word.
    before = re.match(rf"(?:[^_\-.\s]+[_\-.\s]+){{{position}}}", stem)
    return (before[0].rstrip("_-. ") if before else ""), column


def _column(words: list[str]) -> tuple[str, int]:
    """Find the first word that says what the file is: (column, position)."""
    joined = [f"{a}_{b}" for a, b in zip(words, [*words[1:], ""], strict=True)]
    sequences = [k for k, word in enumerate(words) if word in _SEQUENCES]
    brains = [k for k, word in enumerate(words) if word in ("brain", "brainmask")]
    lesions = [k for k, word in enumerate(words) if word in _LESION or joined[k] == "gold_standard"]
    first = min(sequences + brains + lesions, default=0)
    if lesions:
        return ("brain" if brains and "lesion" not in words else "lesion"), first
    if sequences:
        return f"image_{_SEQUENCES[words[sequences[0]]]}", first
    return ("brain" if brains else ""), first


def _check_masks(scans: dict[str, dict[str, Path]], folder: Path) -> None:
    """Refuse a folder where only some subjects have masks."""
    without = [subject for subject, files in scans.items() if "lesion" not in files]
    if without and len(without) < len(scans):
        raise InputError(
            f"{folder}: expected a lesion mask for every subject or for none, found none for {_some(without)} "
            f"({len(without)} of {len(scans)}); an empty mask stands for no lesion"
        )


def _row(subject: str, files: dict[str, Path]) -> dict[str, str]:
    """Describe one subject."""
    pathology = "unknown"
    if "lesion" in files:
        pathology = "lesion" if read_labels(files["lesion"]).any() else "healthy"
    visit = _VISIT.match(subject)
    return {
        "subject": visit["subject"] if visit else subject,
        "session": visit["session"] if visit else "",
        "pathology": pathology,
        **{column: str(path) for column, path in files.items()},
    }


def _some(names: list[str]) -> str:
    """List the first few names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


LAYOUT = Layout(
    name="nifti_folder",
    description="NIfTI files as <subject>/<sequence>.nii.gz or <subject>_<sequence>.nii.gz, with lesion masks (seg, "
    "lesion, mask, label, gold_standard) for all subjects or for none, and brain masks (brain_mask) if you have them",
    licence="that of your data",
    how_to_get="your own folder",
    healthy="scans whose mask is empty; without masks, write healthy into the column pathology of cohort.csv",
    index=index,
)
