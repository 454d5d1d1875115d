"""ATLAS 2 (Liew et al., 2022): stroke lesions on T1."""

import re
from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILE = re.compile(
    r"^sub-(?P<subject>r\d+s\d+)_ses-(?P<session>\d+)_(space-\w+?_)?(?P<kind>T1w|label-L_desc-T1lesion_mask)\.nii(\.gz)?$"
)


def index(folder: Path) -> pd.DataFrame:
    """Find every T1 scan and its lesion mask.

    Parameters
    ----------
    folder : Path
        Holds ``Training/R001/sub-r001s001/ses-1/anat/``, or a part of that.

    Returns
    -------
    DataFrame
        One row per scan, pathology ``stroke``. Scans below a folder ``Testing`` may be without mask.

    Raises
    ------
    InputError
        No scan, a training scan without mask, a mask without scan, or two files for one place.
    """
    scans = ScanFiles(
        folder,
        expected="files such as sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
        hint="decrypt and unpack the archive, and give its folder Training",
    )
    hidden = set()
    for path in files_below(folder):
        match = _FILE.match(path.name)
        if match:
            scan = (match["subject"], match["session"])
            column = "image_t1" if match["kind"] == "T1w" else "lesion"
            scans.add(column, path, subject=scan[0], session=scan[1])
            if "Testing" in path.parts:
                hidden.add(scan)
    scans.require("image_t1")
    scans.require("lesion", where=lambda scan: scan not in hidden)
    return scans.table("stroke")


LAYOUT = Layout(
    name="atlas_2",
    description="ATLAS 2: stroke, mostly chronic; 655 T1 scans for training in MNI space with skull, and lesion masks "
    "drawn on T1",
    licence="the terms of use that you sign to download; research only",
    how_to_get="https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html: a form gives the password of the archive",
    healthy="no healthy people: slices without lesion",
    index=index,
)
