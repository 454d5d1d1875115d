"""PhysioNet's CT-ICH (Hssayeni et al., 2020): head CT after trauma."""

from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import Scan, ScanFiles, files_below

_COLUMNS = ("PatientNumber", "No_Hemorrhage", "Fracture_Yes_No")
_KINDS = {"ct_scans": "image_ct", "masks": "lesion"}


def index(folder: Path) -> pd.DataFrame:
    """Find every scan, its mask and its diagnosis.

    Parameters
    ----------
    folder : Path
        Holds ``ct_scans/049.nii``, ``masks/049.nii`` and ``hemorrhage_diagnosis_raw_ct.csv``.

    Returns
    -------
    DataFrame
        One row per patient. The pathology is ``haemorrhage`` where a slice has one, else ``fracture`` where a slice
        shows one, else ``healthy``.

    Raises
    ------
    InputError
        No scan, a scan without mask or diagnosis, a mask without scan, or no table.
    """
    scans = ScanFiles(
        folder,
        expected="files such as ct_scans/049.nii and masks/049.nii",
        hint="unpack the archive and give its folder",
    )
    for path in files_below(folder):
        if path.parent.name in _KINDS:
            scans.add(_KINDS[path.parent.name], path, subject=path.name.split(".")[0])
    scans.require("image_ct", "lesion")
    diagnoses: dict[int, str] = {}

    def pathology(scan: Scan) -> str:
        subject = scan[0]
        diagnoses.update({} if diagnoses else _diagnoses(folder))
        if int(subject) not in diagnoses:
            raise InputError(
                f"{folder}: subject {subject}: expected rows in hemorrhage_diagnosis_raw_ct.csv, found none; "
                "copy the whole table"
            )
        return diagnoses[int(subject)]

    return scans.table(pathology)


def _diagnoses(folder: Path) -> dict[int, str]:
    """Map patients' numbers to pathologies."""
    table = find_clinical(folder, _COLUMNS)
    if table is None:
        raise InputError(
            f"{folder}: expected hemorrhage_diagnosis_raw_ct.csv with the columns {', '.join(_COLUMNS)}, found none; "
            "it comes with the archive"
        )
    flags = table.apply(pd.to_numeric, errors="coerce").dropna(subset=["PatientNumber", "No_Hemorrhage"])
    found = {}
    for number, rows in flags.groupby("PatientNumber"):
        if (rows["No_Hemorrhage"] == 0).any():
            found[int(number)] = "haemorrhage"
        else:
            found[int(number)] = "fracture" if (rows["Fracture_Yes_No"] == 1).any() else "healthy"
    return found


LAYOUT = Layout(
    name="ct_ich",
    description="PhysioNet CT-ICH: head CT of 75 patients after trauma, 5 mm slices, with masks of intracranial "
    "haemorrhage",
    licence="the terms at PhysioNet, with a data use agreement to sign; the paper names CC BY 4.0",
    how_to_get="https://physionet.org/content/ct-ich",
    healthy="patients without haemorrhage and without fracture, and slices without haemorrhage",
    index=index,
)
