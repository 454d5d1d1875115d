"""MSSEG 2016 (Commowick et al., 2021): multiple sclerosis, seven raters and their consensus."""

from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_SEQUENCES = {"FLAIR": "flair", "T1": "t1", "T2": "t2", "DP": "pd", "GADO": "t1ce"}
_PREPROCESSED = {
    f"{name}_preprocessed{ending}": f"image_{modality}"
    for name, modality in _SEQUENCES.items()
    for ending in (".nii.gz", ".nii")
}
_MASKS = {"Consensus.nii.gz": "lesion", "Consensus.nii": "lesion"}


def index(folder: Path) -> pd.DataFrame:
    """Find every patient's ``Preprocessed_Data`` and ``Masks``.

    Parameters
    ----------
    folder : Path
        Holds ``Training/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz`` and
        ``.../Masks/Consensus.nii.gz``, or a part of that.

    Returns
    -------
    DataFrame
        One row per patient, named by the path from `folder`, pathology ``ms``. The raters' own masks and the raw
        data are not read.

    Raises
    ------
    InputError
        No patient, or one without FLAIR or consensus.
    """
    scans = ScanFiles(
        folder,
        expected="patients' folders with Preprocessed_Data/FLAIR_preprocessed.nii.gz and Masks/Consensus.nii.gz",
        hint="give the folder that holds Training, Testing or the centres",
    )
    for path in files_below(folder):
        known = {"Preprocessed_Data": _PREPROCESSED, "Masks": _MASKS}.get(path.parent.name, {})
        if path.name in known:
            case = path.parent.parent
            name = "-".join(case.relative_to(folder).parts) or case.name
            scans.add(known[path.name], path, subject=name)
    scans.require("image_flair", "lesion")
    return scans.table("ms")


LAYOUT = Layout(
    name="msseg_2016",
    description="MSSEG 2016: multiple sclerosis, 53 patients on four scanners; FLAIR, T1, T2, PD and T1 after "
    "contrast, skull-stripped and registered, with the consensus of seven raters",
    licence="the data usage agreement that you sign to download; research only",
    how_to_get="register at https://shanoir.irisa.fr (MSSEG 2016) and unpack the archive",
    healthy="no healthy people: slices without lesion",
    index=index,
)
