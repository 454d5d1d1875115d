"""DICOM series below a folder, sorted by patient, study and sequence."""

import logging
import os
import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles
from uad_data.readers.dicom import Slice, dicom_files, read_slice

logger = logging.getLogger(__name__)

# Pattern in a series' description -> our name for the sequence; the first that fits counts.
_SEQUENCES = (
    (re.compile(r"local|scout|survey|topogram|phoenix|dose|report|screen", re.IGNORECASE), ""),
    (re.compile(r"flair|dark.?fluid|tirm", re.IGNORECASE), "flair"),
    (re.compile(r"(?<![a-z0-9])t1.*(\+ ?c\b|gd|gad|post|contrast|\bkm\b)", re.IGNORECASE), "t1ce"),
    (re.compile(r"(?<![a-z0-9])t1|mp-?_?rage|spgr|bravo", re.IGNORECASE), "t1"),
    (re.compile(r"(?<![a-z0-9])t2(?!.?(star|\*))", re.IGNORECASE), "t2"),
    (re.compile(r"(?<![a-z0-9])pd(?![a-z])", re.IGNORECASE), "pd"),
)
# Fewer slices are a localiser.
_FEWEST = 3


def index(folder: Path) -> pd.DataFrame:
    """Find every series, whatever the folders and files are called.

    Parameters
    ----------
    folder : Path
        Holds DICOM files, here or below.

    Returns
    -------
    DataFrame
        One row per patient and study (session: its date). CT is ``image_ct``; MRI is told by the description of the
        series (FLAIR, T1, T1 after contrast, T2, PD). A sequence that a study has several times is not guessed at:
        each such series gets a row of its own, its number added to the session. The descriptions stand in the further
        columns ``description_<modality>``.
        Every pathology is ``unknown``. Localisers and series of other kinds are left out, which is logged.

    Raises
    ------
    InputError
        No series that can be used, a series in two folders, or SimpleITK is missing.
    """
    scans = ScanFiles(
        folder,
        expected="DICOM series of CT, or of T1, T2, FLAIR or PD by their descriptions",
        hint="give the folder of the export",
    )
    used, left_out = [], set()
    for source, first, count in _series(folder):
        name = _sequence(first) if count >= _FEWEST else ""
        if name:
            used.append((source, first.tags, name))
        else:
            left_out.add(first.tags["description"] or source)
    if left_out:
        some = ", ".join(sorted(left_out)[:5])
        logger.warning("series of other kinds and localisers are left out: %s", some)
        if not used:
            raise InputError(
                f"{folder}: expected DICOM series of CT, or of T1, T2, FLAIR or PD by their descriptions, found "
                f"{some}; list them in a table of your own (layout csv)"
            )
    for (source, tags, name), session in zip(used, _sessions(used), strict=True):
        subject = tags["patient"] or tags["study"]
        scans.add(f"image_{name}", source, subject=subject, session=session)
        scans.add(f"description_{name}", tags["description"], subject=subject, session=session)
    return scans.table("unknown")


def _sessions(used: list[tuple[str, dict[str, str], str]]) -> list[str]:
    """Name the session of every series: the date, and what it takes to tell studies and repeats apart."""
    places = [(tags["patient"], tags["study"], name) for _, tags, name in used]
    days: dict[tuple[str, str], list[str]] = {}
    for _, tags, _ in used:
        studies = days.setdefault((tags["patient"], tags["date"]), [])
        if tags["study"] not in studies:
            studies.append(tags["study"])
    sessions = []
    for (_, tags, _), place in zip(used, places, strict=True):
        studies = sorted(days[tags["patient"], tags["date"]])
        parts = [tags["date"]]
        if len(studies) > 1:
            parts.append(f"study{studies.index(tags['study']) + 1}")
        if places.count(place) > 1:
            parts.append(f"series{tags['number']}")
        sessions.append("-".join(part for part in parts if part))
    return sessions


def _series(folder: Path) -> list[tuple[str, Slice, int]]:
    """List (source, first slice, number of slices) of every series."""
    found = []
    places: dict[str, str] = {}
    for parent, names, _ in os.walk(folder):
        names.sort()
        groups: dict[str, list[Slice]] = {}
        for slice_ in map(read_slice, dicom_files(Path(parent))):
            groups.setdefault(slice_.tags["series"], []).append(slice_)
        for uid, slices in groups.items():
            source = parent if len(groups) == 1 else f"{parent}#{uid}"
            if uid in places:
                raise InputError(
                    f"{source}: expected every series in one folder, found series "
                    f"{slices[0].tags['description']!r} also in {places[uid]}; put its slices together, or move a copy "
                    "away"
                )
            places[uid] = source
            found.append((source, slices[0], len(slices)))
    return found


def _sequence(first: Slice) -> str:
    """Name the sequence of a series; empty for other kinds."""
    description = first.tags["description"]
    if first.position is None:
        return ""
    match = next((name for pattern, name in _SEQUENCES if pattern.search(description)), None)
    if first.tags["modality"] == "CT":
        return "" if match == "" else "ct"
    return match or "" if first.tags["modality"] == "MR" else ""


LAYOUT = Layout(
    name="dicom",
    description="DICOM series of CT or MRI in any folders, such as an export from the hospital's archive (takes "
    "SimpleITK); slices are stacked by place, CT comes in Hounsfield units",
    licence="that of your data",
    how_to_get="your own export, with the patients' identities removed",
    healthy="nothing is known: write healthy into the column pathology of cohort.csv",
    index=index,
)
