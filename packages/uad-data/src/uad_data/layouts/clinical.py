"""Tables of subjects that come with a data set, found by their columns."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.scan_files import files_below

_HEALTHY = {
    "healthy",
    "control",
    "controls",
    "healthy control",
    "healthy controls",
    "hc",
    "cn",
    "con",
    "ctrl",
    "normal",
}


def pathology_of(group: str) -> str:
    """Name the pathology of a group or diagnosis.

    Parameters
    ----------
    group : str
        As a table has it.

    Returns
    -------
    str
        ``"healthy"`` for the usual words for controls, ``"unknown"`` for an empty cell or ``n/a``, else the group in
        lower case.
    """
    name = re.sub(r"[\s_-]+", " ", group.strip().lower())
    if name in ("", "n/a", "na", "nan", "unknown"):
        return "unknown"
    return "healthy" if name in _HEALTHY else name


def read_clinical(path: Path) -> pd.DataFrame:
    """Read a table as text.

    Parameters
    ----------
    path : Path
        Comma-separated (``.csv``) or tab-separated (``.tsv``).

    Returns
    -------
    DataFrame
        Every cell a string without spaces around it; empty where nothing stands.

    Raises
    ------
    InputError
        The file is no such table.
    """
    try:
        table = pd.read_csv(
            path,
            sep="\t" if path.suffix.lower() == ".tsv" else ",",
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
        )
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: expected a table of comma- or tab-separated values, found none ({error}); "
            "save it again as text, in UTF-8"
        ) from error
    table.columns = table.columns.str.strip()
    return table.apply(lambda column: column.str.strip())


def find_clinical(folder: Path, columns: tuple[str, ...]) -> pd.DataFrame | None:
    """Find the tables below a folder that have these columns.

    Parameters
    ----------
    folder : Path
        The data set.
    columns : tuple of str
        Names, in the tables' own spelling.

    Returns
    -------
    DataFrame or None
        Those columns of all such tables, one below the other; None if there is no table.
    """
    found = []
    for path in files_below(folder, (".csv", ".tsv")):
        try:
            table = read_clinical(path)
        except InputError:
            # A table that cannot be read is none of those looked for.
            continue
        if set(columns) <= set(table.columns):
            found.append(table[list(columns)])
    return pd.concat(found, ignore_index=True) if found else None
