"""The longitudinal MS lesion challenge of ISBI 2015 (Carass et al., 2017)."""

import re
from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILE = re.compile(
    r"^(?P<subject>(training|test)\d{2})_(?P<session>\d{2})_(?P<kind>(flair|mprage|pd|t2)_pp|mask[12])\.nii(\.gz)?$"
)
_KINDS = {
    "flair_pp": "image_flair",
    "mprage_pp": "image_t1",
    "pd_pp": "image_pd",
    "t2_pp": "image_t2",
    "mask1": "lesion",
    "mask2": "lesion_rater_2",
}


def index(folder: Path) -> pd.DataFrame:
    """Find every visit's preprocessed sequences and the masks of both raters.

    Parameters
    ----------
    folder : Path
        Holds ``training01_01_flair_pp.nii`` and ``training01_01_mask1.nii``, here or below; ``orig/`` is not read.

    Returns
    -------
    DataFrame
        One row per visit, pathology ``ms``. ``lesion`` is the first rater's mask; the second's stands in the
        further column ``lesion_rater_2``. Test cases have none.

    Raises
    ------
    InputError
        No visit, one without one of the four sequences, a training visit without both masks, or two files for one
        place.
    """
    scans = ScanFiles(
        folder,
        expected="files such as training01/preprocessed/training01_01_flair_pp.nii",
        hint="give the folder that holds training01",
    )
    for path in files_below(folder):
        match = _FILE.match(path.name)
        if match:
            scans.add(_KINDS[match["kind"]], path, subject=match["subject"], session=match["session"])
    scans.require("image_flair", "image_t1", "image_pd", "image_t2")
    scans.require("lesion", "lesion_rater_2", where=lambda scan: scan[0].startswith("training"))
    return scans.table("ms")


LAYOUT = Layout(
    name="isbi_2015",
    description="ISBI 2015 longitudinal MS lesion challenge: five training patients with four to five visits; FLAIR, "
    "T1, PD and T2, skull-stripped and registered, with masks of two raters (the second in column lesion_rater_2)",
    licence="the terms of the challenge, shown when you register; research only",
    how_to_get="register at https://smart-stats-tools.org/lesion-challenge",
    healthy="no healthy people: slices without lesion",
    index=index,
)
