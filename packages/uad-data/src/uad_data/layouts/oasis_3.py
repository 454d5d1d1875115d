"""OASIS-3 (LaMontagne et al., 2019): normal ageing and Alzheimer's disease."""

import logging
import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

logger = logging.getLogger(__name__)

_FILE = re.compile(
    r"^sub-(?P<subject>OAS3\d{4})_sess?-(?P<session>d\d+)(_\w+-\w+)*_(?P<kind>T1w|T2w|FLAIR)\.nii(\.gz)?$"
)
_KINDS = {"T1w": "image_t1", "T2w": "image_t2", "FLAIR": "image_flair"}
# Columns of the clinical dementia rating: the table by form, then the older one of all clinical data.
_RATINGS = (("OASISID", "days_to_visit", "CDRTOT"), ("Subject", "ADRC_ADRCCLINICALDATA ID", "cdr"))
_DAY = re.compile(r"(\d+)$")
# A rating further from the scan than this says nothing about it.
_MOST_DAYS = 365


def index(folder: Path) -> pd.DataFrame:
    """Find every MR session, and the dementia rating next to it in time.

    Parameters
    ----------
    folder : Path
        Holds ``OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_T1w.nii.gz``, and a table of clinical dementia
        ratings: ``OASIS3_UDSb4_cdr.csv`` or ``ADRC Clinical Data``.

    Returns
    -------
    DataFrame
        One row per session; where a sequence was run several times, the first run. The pathology is ``healthy``
        where the rating nearest in time is 0, ``impaired`` where it is above, and ``unknown`` where there is none
        within a year, or no table, which is logged.

    Raises
    ------
    InputError
        No session, one file twice, or a subject that the table does not have.
    """
    scans = ScanFiles(
        folder,
        expected="files such as OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_T1w.nii.gz",
        hint="give the folder that holds the MR sessions",
    )
    for path in files_below(folder):
        match = _FILE.match(path.name)
        if match:
            column = _KINDS[match["kind"]]
            scans.add(column, path, subject=match["subject"], session=match["session"], first_of_several=True)
    ratings = _ratings(folder)
    if ratings is None:
        logger.warning("%s: no table of clinical dementia ratings; every pathology is unknown", folder)
    return scans.table(lambda scan: _pathology(ratings, scan[0], int(scan[1][1:])))


def _ratings(folder: Path) -> pd.DataFrame | None:
    """Read the ratings: columns subject, day, rating."""
    for columns in _RATINGS:
        table = find_clinical(folder, columns)
        if table is not None:
            table = table.set_axis(["subject", "day", "rating"], axis=1)
            day = pd.to_numeric(table["day"].str.extract(_DAY.pattern)[0], errors="coerce")
            rating = pd.to_numeric(table["rating"], errors="coerce")
            return table.assign(day=day, rating=rating)
    return None


def _pathology(ratings: pd.DataFrame | None, subject: str, day: int) -> str:
    """Say what the rating nearest to the day means."""
    if ratings is None:
        return "unknown"
    own = ratings[ratings["subject"] == subject]
    if own.empty:
        raise InputError(
            f"subject {subject}: expected a row in the table of clinical dementia ratings, found none; "
            "download the whole table"
        )
    own = own.dropna().assign(apart=lambda table: (table["day"] - day).abs())
    own = own[own["apart"] <= _MOST_DAYS]
    if own.empty:
        return "unknown"
    return "healthy" if own.loc[own["apart"].idxmin(), "rating"] == 0 else "impaired"


LAYOUT = Layout(
    name="oasis_3",
    description="OASIS-3: normal ageing and Alzheimer's disease, over 1300 people, many with several sessions; T1, T2 "
    "and FLAIR as NIfTI, with the table of clinical dementia ratings",
    licence="the OASIS data use agreement",
    how_to_get="apply at https://sites.wustl.edu/oasisbrains; download the MR sessions and OASIS3_UDSb4_cdr.csv",
    healthy="sessions with a clinical dementia rating of 0, which does not exclude white matter lesions in the elderly",
    index=index,
)
