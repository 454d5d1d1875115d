"""The WMH segmentation challenge (Kuijf et al., 2019)."""

from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILES = {
    "FLAIR.nii.gz": "image_flair",
    "T1.nii.gz": "image_t1",
    "FLAIR.nii": "image_flair",
    "T1.nii": "image_t1",
}


def index(folder: Path) -> pd.DataFrame:
    """Find every person's folder with ``pre/FLAIR.nii.gz``, ``pre/T1.nii.gz`` and ``wmh.nii.gz``.

    Parameters
    ----------
    folder : Path
        The folder of the training or the test data, or one above it.

    Returns
    -------
    DataFrame
        One row per person, named by the path from `folder` (``Utrecht-0``), pathology ``wmh``. ``pre/`` is taken,
        bias-corrected and with T1 on FLAIR's grid; ``orig/`` is not read. The mask's label 1 is white matter
        hyperintensity, 2 other pathology, which the challenge leaves out of its figures.

    Raises
    ------
    InputError
        No person, or one without FLAIR, T1 or mask.
    """
    scans = ScanFiles(
        folder,
        expected="people's folders with pre/FLAIR.nii.gz, pre/T1.nii.gz and wmh.nii.gz",
        hint="give the folder that holds Utrecht, Singapore and Amsterdam",
    )
    for path in files_below(folder):
        if path.name in _FILES and path.parent.name == "pre":
            scans.add(_FILES[path.name], path, subject=_name(path.parent.parent, folder))
        elif path.name in ("wmh.nii.gz", "wmh.nii"):
            scans.add("lesion", path, subject=_name(path.parent, folder))
    scans.require("image_flair", "image_t1", "lesion")
    return scans.table("wmh")


def _name(case: Path, folder: Path) -> str:
    """Name a person by the folders on the way: the hospitals number theirs independently."""
    return "-".join(case.relative_to(folder).parts) or case.name


LAYOUT = Layout(
    name="wmh",
    description="WMH segmentation challenge: white matter hyperintensities of presumed vascular origin; FLAIR and T1 "
    "from three to five scanners, 60 training and 110 test cases; label 1 is WMH, 2 is other pathology",
    licence="the terms shown at the download",
    how_to_get="https://doi.org/10.34894/AECRSD",
    healthy="no healthy people: slices without hyperintensity, in elderly brains",
    index=index,
)
