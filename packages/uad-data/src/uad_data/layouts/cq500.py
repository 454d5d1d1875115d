"""CQ500 (Chilamkurthy et al., 2018): head CT as DICOM, with three radiologists' reads."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import Scan, ScanFiles, files_below
from uad_data.readers.pictures import natural_key

_CASE = re.compile(r"^CQ500-?CT-?(?P<number>\d+)\b")
_READERS = ("R1", "R2", "R3")
# Finding -> pathology; the first that two of three readers saw counts.
_FINDINGS = {
    "ICH": "haemorrhage",
    "ChronicBleed": "chronic bleed",
    "Fracture": "fracture",
    "MassEffect": "mass effect",
    "MidlineShift": "mass effect",
}
_COLUMNS = ("name", *(f"{reader}:{finding}" for reader in _READERS for finding in _FINDINGS))
# Series that show bone or vessels, or only plan the scan.
_OTHER = re.compile(r"bone|post|contrast|angio|cta|scout|topo|surview", re.IGNORECASE)


def index(folder: Path) -> pd.DataFrame:
    """Choose one series per case, and count the reads.

    Parameters
    ----------
    folder : Path
        Holds ``CQ500CT0 CQ500CT0/Unknown Study/CT Plain/*.dcm`` per case, and ``reads.csv``.

    Returns
    -------
    DataFrame
        One row per case, with a folder of DICOM slices under ``image_ct`` and its name under ``series``. Of several
        series, the first whose name says plain and not thin is taken, then plain, then any that is not of bone,
        with contrast or a scout. The pathology is what at least two of three radiologists saw: ``haemorrhage``,
        ``chronic bleed``, ``fracture``, ``mass effect``, or ``healthy`` for none of these. There are no masks.

    Raises
    ------
    InputError
        No case, a case twice, a case without a usable series or without reads, or no table.
    """
    scans = ScanFiles(
        folder,
        expected="cases such as CQ500CT0 CQ500CT0/Unknown Study/CT Plain/CT000000.dcm",
        hint="unpack the cases into one folder",
    )
    for case, series in _cases(folder).items():
        match = _CASE.match(case.name)
        assert match is not None
        chosen = _choose(series, case)
        scans.add("image_ct", chosen, subject=f"CQ500-CT-{match['number']}")
        scans.add("series", chosen.name, subject=f"CQ500-CT-{match['number']}")
    reads: dict[str, str] = {}

    def pathology(scan: Scan) -> str:
        subject = scan[0]
        reads.update({} if reads else _reads(folder))
        if subject not in reads:
            raise InputError(f"{folder}: {subject}: expected its row in reads.csv, found none; copy the whole table")
        return reads[subject]

    # A healthy case needs no mask; what the others show is not drawn.
    return scans.table(pathology)


def _cases(folder: Path) -> dict[Path, list[Path]]:
    """Map cases' folders to those of their series."""
    cases: dict[Path, list[Path]] = {}
    for series in sorted({path.parent for path in files_below(folder, (".dcm",))}):
        case = next((place for place in (series, *series.parents) if _CASE.match(place.name)), None)
        if case is not None:
            cases.setdefault(case, []).append(series)
    return cases


def _choose(series: list[Path], case: Path) -> Path:
    """Take the plain series in thick slices, else the nearest to it."""
    usable = [path for path in series if not _OTHER.search(path.name)]
    if not usable:
        names = ", ".join(path.name for path in series)
        raise InputError(f"{case}: expected a plain series, found {names}; complete the case or move it away")

    def rank(path: Path) -> tuple[bool, bool, list[tuple[int, str]]]:
        name = path.name.lower()
        return ("plain" not in name, "thin" in name, natural_key(name))

    return min(usable, key=rank)


def _reads(folder: Path) -> dict[str, str]:
    """Map cases to what most readers saw."""
    table = find_clinical(folder, _COLUMNS)
    if table is None:
        raise InputError(
            f"{folder}: expected reads.csv with the columns name, R1:ICH and so on, found none; it comes with the set"
        )
    found = {}
    for row in table.to_dict("records"):
        seen = [
            pathology
            for finding, pathology in _FINDINGS.items()
            if sum(row[f"{reader}:{finding}"] in ("1", "1.0") for reader in _READERS) >= 2
        ]
        found[row["name"]] = seen[0] if seen else "healthy"
    return found


LAYOUT = Layout(
    name="cq500",
    description="CQ500: head CT of 491 patients as DICOM, with the reads of three radiologists (haemorrhage, fracture, "
    "mass effect); no masks",
    licence="CC BY-NC-SA 4.0",
    how_to_get="http://headctstudy.qure.ai/dataset: the cases and reads.csv",
    healthy="cases in which at least two of three radiologists saw no haemorrhage, fracture or mass effect; infarcts "
    "and atrophy were not read, so check before you train on them",
    index=index,
)
