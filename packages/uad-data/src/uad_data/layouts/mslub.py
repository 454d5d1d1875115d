"""MSLUB (Lesjak et al., 2018), also known as open_ms_data: multiple sclerosis from Ljubljana."""

import re
from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_PATIENT = re.compile(r"^patient\d+$")
# First part of a file's name, without the patient -> column: the co-registered files, then those in MNI space.
_KINDS = {
    "FLAIR": "image_flair",
    "T1W": "image_t1",
    "T1WKS": "image_t1ce",
    "T2W": "image_t2",
    "consensus_gt": "lesion",
    "brainmask": "brain",
    "T1": "image_t1",
    "T1POST": "image_t1ce",
    "T2": "image_t2",
    "GOLD_STANDARD": "lesion",
}
_NAME = re.compile(rf"^(patient\d+_)?(?P<kind>{'|'.join(_KINDS)})(_N4_\w+)?\.nii(\.gz)?$")


def index(folder: Path) -> pd.DataFrame:
    """Find every patient of the cross-sectional data.

    Parameters
    ----------
    folder : Path
        Holds ``patient01/patient01_FLAIR.nii.gz`` and ``patient01/patient01_consensus_gt.nii.gz`` (co-registered;
        the prefix may be missing), or ``patient01/FLAIR_N4_..._regtoMNI.nii.gz`` and ``GOLD_STANDARD_...`` (in MNI
        space). Folders ``raw/`` are not read.

    Returns
    -------
    DataFrame
        One row per patient, pathology ``ms``.

    Raises
    ------
    InputError
        No patient, one without FLAIR or consensus, or two files for one place, such as those of both spaces.
    """
    scans = ScanFiles(
        folder,
        expected="files such as patient01/patient01_FLAIR.nii.gz and patient01/patient01_consensus_gt.nii.gz",
        hint="give the folder that holds the patients",
    )
    for path in files_below(folder):
        match = _NAME.match(path.name)
        if match and _PATIENT.match(path.parent.name) and "raw" not in path.relative_to(folder).parts:
            scans.add(_KINDS[match["kind"]], path, subject=path.parent.name)
    scans.require("image_flair", "lesion")
    return scans.table("ms")


LAYOUT = Layout(
    name="mslub",
    description="MSLUB (open_ms_data, cross-sectional): multiple sclerosis, 30 patients; FLAIR, T1, T2 and T1 after "
    "contrast, co-registered, with the consensus of three raters and brain masks",
    licence="CC BY",
    how_to_get="https://github.com/muschellij2/open_ms_data; give cross_sectional/coregistered or cross_sectional/MNI",
    healthy="no healthy people: slices without lesion",
    index=index,
)
