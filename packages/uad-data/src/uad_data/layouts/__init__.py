"""Data sets in: one file per layout, each turning a folder into a cohort table.

To add one, write a file with an ``index`` function and a ``LAYOUT``, and name it in ``LAYOUTS`` below.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import (
    adni,
    atlas_2,
    bids,
    brats,
    cq500,
    csv_table,
    ct_ich,
    dicom_series,
    fastmri_plus,
    ibc,
    images_masks,
    isbi_2015,
    ixi,
    kaggle_3m,
    kirby_21,
    mood,
    mslub,
    msseg_2016,
    nifti_folder,
    oasis_3,
    wmh,
)
from uad_data.layouts.layout import Layout
from uad_data.split import split_by_subject

__all__ = ["LAYOUTS", "Layout", "index_layout"]

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        # Your own data.
        images_masks.LAYOUT,
        nifti_folder.LAYOUT,
        csv_table.LAYOUT,
        bids.LAYOUT,
        dicom_series.LAYOUT,
        # Tumours.
        brats.LAYOUT,
        kaggle_3m.LAYOUT,
        # Multiple sclerosis, white matter, stroke.
        msseg_2016.LAYOUT,
        isbi_2015.LAYOUT,
        mslub.LAYOUT,
        wmh.LAYOUT,
        atlas_2.LAYOUT,
        # Several pathologies.
        fastmri_plus.LAYOUT,
        # CT.
        cq500.LAYOUT,
        ct_ich.LAYOUT,
        # Healthy people, and ageing.
        ixi.LAYOUT,
        kirby_21.LAYOUT,
        ibc.LAYOUT,
        mood.LAYOUT,
        oasis_3.LAYOUT,
        adni.LAYOUT,
    )
}


def index_layout(
    name: str,
    folder: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    fractions: Sequence[float] = (0.6, 0.15, 0.25),
    pathology: str = "unknown",
) -> Cohort:
    """Index a data set, draw its splits by subject and write ``cohort.csv``.

    Parameters
    ----------
    name : str
        A layout's name.
    folder : str or Path
        The data set; for a layout that takes one, also a file.
    out : str or Path
        The table to write.
    seed : int
        Seed of the splits.
    fractions : sequence of three floats
        Shares of training, validation and test subjects.
    pathology : str
        Of the scans of which the data set says nothing: ``"healthy"`` where all of them are.

    Returns
    -------
    Cohort
        The cohort as it reads back from `out`.

    Raises
    ------
    InputError
        The layout is unknown, or the folder is missing, empty or incomplete.
    """
    if name not in LAYOUTS:
        near = difflib.get_close_matches(name.lower(), LAYOUTS, n=2, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise InputError(f"layout {name!r}: expected one of {', '.join(LAYOUTS)}{hint}")
    root = Path(os.path.abspath(folder))
    layout = LAYOUTS[name]
    if not (root.is_dir() or (layout.takes_file and root.is_file())):
        raise InputError(f"{folder}: expected a folder with the data set, found none at this place; check the path")
    table = layout.index(root)
    table["pathology"] = table["pathology"].replace("unknown", pathology)
    table = split_by_subject(table, fractions=fractions, seed=seed)
    Cohort(table, root).write(out)
    return Cohort.read(out)
