"""ADNI, as the LONI archive exports it: NIfTI or DICOM."""

import logging
import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

logger = logging.getLogger(__name__)

_SUBJECT = re.compile(r"(\d{3}_S_\d{4,5})")
_IMAGE = re.compile(r"(?:^|_)I(\d+)(?:\.|$)")
_DAY = re.compile(r"^(\d{4}-\d{2}-\d{2})_\d{2}_\d{2}_\d{2}")
# Pattern in the series' name -> our name; the first that fits counts.
_SEQUENCES = (
    (re.compile(r"flair", re.IGNORECASE), "flair"),
    (re.compile(r"mp-?_?rage|(?<![a-z])mpr|spgr|(?<![a-z0-9])t1", re.IGNORECASE), "t1"),
    (re.compile(r"(?<![a-z0-9])t2(?!.?(star|\*))", re.IGNORECASE), "t2"),
)
_COLUMNS = ("Image Data ID", "Subject", "Group")


def index(folder: Path) -> pd.DataFrame:
    """Find every image, and the diagnosis of its subject.

    Parameters
    ----------
    folder : Path
        Holds ``ADNI/002_S_0295/<series>/2006-04-18_08_20_30.0/I13722/`` with one NIfTI file or the DICOM slices, and
        the archive's table of the collection, with the columns Image Data ID, Subject and Group.

    Returns
    -------
    DataFrame
        One row per subject and day of scanning. The pathology is the group in lower case, ``healthy`` for CN
        (cognitively normal), and ``unknown`` without a table, which is logged. Series that are none of T1, T2 and
        FLAIR are logged.

    Raises
    ------
    InputError
        No image, two images of one sequence on one day, or an image that the table does not have.
    """
    scans = ScanFiles(
        folder,
        expected="images such as ADNI/002_S_0295/MPRAGE/2006-04-18_08_20_30.0/I13722/*.nii",
        hint="give the folder ADNI of a download from the LONI archive",
    )
    images: dict[tuple[str, str], str] = {}
    other = []
    for source, parts in _images(folder):
        subject = _last(_SUBJECT, parts)
        number = _last(_IMAGE, parts)
        sequence = next((name for pattern, name in _SEQUENCES if pattern.search("/".join(parts[-4:]))), "")
        if not subject or not number or not sequence:
            other.append(source.name)
            continue
        session = _last(_DAY, parts) or f"I{number}"
        scans.add(f"image_{sequence}", source, subject=subject, session=session)
        images[subject, session] = f"I{number}"
    if other:
        logger.warning("%d images are none of T1, T2 and FLAIR and are left out: %s", len(other), ", ".join(other[:3]))
    groups = _groups(folder) if images else {}
    if images and not groups:
        logger.warning("%s: no table with the columns %s; every pathology is unknown", folder, ", ".join(_COLUMNS))
    return scans.table(lambda scan: _pathology(groups, images[scan], scan[0]))


def _images(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """List (source, parts of its path): NIfTI files, and folders of DICOM slices."""
    slices = {path.parent for path in files_below(folder, (".dcm",))}
    sources = sorted([*files_below(folder), *slices])
    return [(path, path.relative_to(folder.parent).parts) for path in sources]


def _last(pattern: re.Pattern[str], parts: tuple[str, ...]) -> str:
    """Give what the pattern finds in the last part that has it."""
    found = [match[1] for part in parts if (match := pattern.search(part))]
    return found[-1] if found else ""


def _groups(folder: Path) -> dict[str, str]:
    """Map images and subjects to groups."""
    table = find_clinical(folder, _COLUMNS)
    if table is None:
        return {}
    return dict(zip(table["Subject"], table["Group"], strict=True)) | dict(
        zip("I" + table["Image Data ID"].str.removeprefix("I"), table["Group"], strict=True)
    )


def _pathology(groups: dict[str, str], image: str, subject: str) -> str:
    """Name the group of an image, else of its subject."""
    if not groups:
        return "unknown"
    group = groups.get(image) or groups.get(subject)
    if not group:
        raise InputError(
            f"image {image}: expected its row, or one of subject {subject}, in the table with the columns "
            f"{', '.join(_COLUMNS)}, found none; download the table of this collection"
        )
    return "healthy" if group == "CN" else group.lower()


LAYOUT = Layout(
    name="adni",
    description="ADNI: ageing and Alzheimer's disease; T1, and FLAIR and T2 where downloaded; NIfTI or DICOM as "
    "exported by the LONI archive, with its table of the collection for the diagnosis",
    licence="the ADNI data use agreement",
    how_to_get="apply at https://adni.loni.usc.edu; download the images and, beside them, the collection's .csv",
    healthy="group CN: cognitively normal, which does not exclude white matter lesions in the elderly",
    index=index,
)
