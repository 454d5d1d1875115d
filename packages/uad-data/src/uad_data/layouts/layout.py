"""What a data set's layout is: how its folder becomes a table of scans."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Layout:
    """A way in which data sets lay out their files.

    Parameters
    ----------
    name : str
        As given to ``uad-data index``.
    description : str
        What the files are.
    licence : str
        Under which terms they may be used.
    how_to_get : str
        Where they come from.
    healthy : str
        What the set offers as healthy tissue to train on.
    index : callable
        Takes the folder and returns one row per scan, with absolute paths, as `Cohort` describes, without splits.
        Raises InputError for a folder that is empty or incomplete.
    takes_file : bool
        Whether `index` takes a file as well as a folder.
    """

    name: str
    description: str
    licence: str
    how_to_get: str
    healthy: str
    index: Callable[[Path], pd.DataFrame]
    takes_file: bool = False
