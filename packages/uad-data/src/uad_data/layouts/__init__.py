"""Data sets in: one file per layout, each turning a folder into a cohort table.

To add one, write a file with an ``index`` function and a ``LAYOUT``, and name it in ``LAYOUTS`` below.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import brats, images_masks, kaggle_3m, nifti_folder
from uad_data.layouts.layout import Layout
from uad_data.split import split_by_subject

__all__ = ["LAYOUTS", "Layout", "index_layout"]

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (brats.LAYOUT, kaggle_3m.LAYOUT, images_masks.LAYOUT, nifti_folder.LAYOUT)
}


def index_layout(
    name: str,
    folder: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    fractions: Sequence[float] = (0.6, 0.15, 0.25),
) -> Cohort:
    """Index a data set, draw its splits by subject and write ``cohort.csv``.

    Parameters
    ----------
    name : str
        A layout's name.
    folder : str or Path
        The data set.
    out : str or Path
        The table to write.
    seed : int
        Seed of the splits.
    fractions : sequence of three floats
        Shares of training, validation and test subjects.

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
    if not root.is_dir():
        raise InputError(f"{folder}: expected a folder with the data set, found none at this place; check the path")
    table = split_by_subject(LAYOUTS[name].index(root), fractions=fractions, seed=seed)
    Cohort(table, root).write(out)
    return Cohort.read(out)
