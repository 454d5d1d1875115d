"""Kirby-21 (Landman et al., 2011): 21 healthy people scanned twice."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILE = re.compile(r"^KKI2009-(?P<number>\d{2})-(?P<kind>MPRAGE|FLAIR)\.nii(\.gz)?$")
_KINDS = {"MPRAGE": "image_t1", "FLAIR": "image_flair"}
_NUMBER = re.compile(r"KKI2009.(\d{2})")
# Of the table that comes with the download.
_COLUMNS = ("MPRAGE", "Subject ID", "Visit ID")


def index(folder: Path) -> pd.DataFrame:
    """Find every visit, and whose it is.

    Parameters
    ----------
    folder : Path
        Holds ``KKI2009-01-MPRAGE.nii`` and ``KKI2009-01-FLAIR.nii``, here or below, and the download's table with
        the columns MPRAGE, Subject ID and Visit ID, saved as ``.csv``.

    Returns
    -------
    DataFrame
        One row per visit, all healthy. Both visits of a person have one subject's name, so that no split parts them.

    Raises
    ------
    InputError
        No visit, no table, a visit that the table does not have, or two files for one sequence of a visit.
    """
    scans = ScanFiles(
        folder, expected="files such as KKI2009-01-MPRAGE.nii", hint="unpack KKI2009-ALL-MPRAGE.tar.bz2 here"
    )
    found = [(path, match) for path in files_below(folder) if (match := _FILE.match(path.name))]
    people = _people(folder) if found else {}
    for path, match in found:
        number = match["number"]
        if number not in people:
            raise InputError(
                f"{path}: expected its visit in the table of MPRAGE, Subject ID and Visit ID, found no row for "
                f"KKI2009-{number}; complete the table"
            )
        subject, session = people[number]
        scans.add(_KINDS[match["kind"]], path, subject=subject, session=session)
    return scans.table("healthy")


def _people(folder: Path) -> dict[str, tuple[str, str]]:
    """Map the visits' numbers to (subject, session)."""
    table = find_clinical(folder, _COLUMNS)
    if table is None:
        raise InputError(
            f"{folder}: expected a .csv table with the columns {', '.join(_COLUMNS)}, found none; without it nobody "
            "knows which two visits are one person's: save the spreadsheet of the download page as .csv here"
        )
    rows = zip(table["MPRAGE"].str.extract(_NUMBER.pattern)[0], table["Subject ID"], table["Visit ID"], strict=True)
    return {number: (f"KKI2009-{subject}", visit) for number, subject, visit in rows if isinstance(number, str)}


LAYOUT = Layout(
    name="kirby_21",
    description="Kirby-21 (KKI2009): 21 healthy adults, each scanned twice at 3 T; MPRAGE (T1) and FLAIR",
    licence="the terms shown at the download page; cite Landman et al., 2011",
    how_to_get="https://www.nitrc.org/projects/multimodal; take the archives by sequence and the table of visits, "
    "saved as .csv",
    healthy="everyone: no history of neurological conditions",
    index=index,
)
