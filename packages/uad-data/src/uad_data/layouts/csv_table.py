"""A table of your own, with one row per scan and columns under the usual names."""

import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import pathology_of, read_clinical
from uad_data.layouts.layout import Layout
from uad_data.readers import source_files

# Our column -> names that it may have; case, blanks, - and _ do not matter. Any image_<modality> is taken as well.
_NAMES = {
    "subject": ("subject", "subject id", "participant", "participant id", "patient", "patient id", "case", "id"),
    "session": ("session", "session id", "visit", "timepoint"),
    "pathology": ("pathology", "diagnosis", "dx", "group"),
    "image_t1": ("t1", "t1w", "t1n", "mprage"),
    "image_t1ce": ("t1ce", "t1c", "t1gd", "t1post"),
    "image_t2": ("t2", "t2w"),
    "image_flair": ("flair", "t2f"),
    "image_pd": ("pd", "pdw"),
    "image_ct": ("ct",),
    "brain": ("brain", "brain mask"),
    "lesion": ("lesion", "lesion mask", "mask", "seg", "segmentation", "label"),
}


def index(folder: Path) -> pd.DataFrame:
    """Read the table.

    Parameters
    ----------
    folder : Path
        The table (``.csv``, or ``.tsv`` with tabs), or a folder that holds one. Paths in it are relative to its
        folder, or absolute; an empty cell is a missing file.

    Returns
    -------
    DataFrame
        One row per row of the table, with columns renamed: subject (or participant, patient, id), session (visit),
        pathology (diagnosis, dx, group), t1, t1ce, t2, flair, pd, ct or any image_<modality>, brain, and lesion
        (mask, seg, label). The pathology is ``healthy`` for the usual words for controls. Other columns are kept.

    Raises
    ------
    InputError
        No table or several, no column for the subject or for an image, two columns for one place, a scan twice, or
        a file that is not there.
    """
    path = folder if folder.is_file() else _only_table(folder)
    table = _renamed(read_clinical(path), path)
    if "pathology" in table:
        table["pathology"] = table["pathology"].map(pathology_of)
    else:
        table["pathology"] = "unknown"
    if "session" not in table:
        table["session"] = ""
    for column in (name for name in table if name.startswith("image_") or name in ("brain", "lesion")):
        table[column] = [_checked(cell, path, row, column) for row, cell in enumerate(table[column], start=2)]
    twice = table[table.duplicated(["subject", "session"])]
    if len(twice):
        subject, session = twice.iloc[0][["subject", "session"]]
        raise InputError(
            f"{path}: line {twice.index[0] + 2}: subject {subject!r}, session {session!r}: expected one row, found a "
            "second; name the visits in a column session"
        )
    return table


def _only_table(folder: Path) -> Path:
    """Find the one table in a folder."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{folder}: expected one table ending in .csv or .tsv, found {names}; name the file itself")
    return found[0]


def _renamed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Give the columns our names."""
    ours = {name: column for column, names in _NAMES.items() for name in names}
    renaming: dict[str, str] = {}
    for column in table:
        plain = re.sub(r"[\s_-]+", " ", column.lower())
        name = "image_" + plain[6:].replace(" ", "_") if plain.startswith("image ") else ours.get(plain)
        if name is None:
            continue
        if name in renaming.values():
            other = next(key for key, value in renaming.items() if value == name)
            raise InputError(f"{path}: expected one column for {name}, found {other!r} and {column!r}; rename one")
        renaming[column] = name
    images = [name for name in renaming.values() if name.startswith("image_")]
    if table.empty or "subject" not in renaming.values() or not images:
        raise InputError(
            f"{path}: expected rows with a column for the subject (such as subject) and one for an image (such as t1, "
            f"flair, ct or image_<modality>), found {len(table)} rows of {', '.join(table.columns) or 'no column'}"
        )
    return table.rename(columns=renaming)


def _checked(cell: str, path: Path, row: int, column: str) -> str:
    """Give the full path of a cell, whose file must be there."""
    if not cell:
        return ""
    source = str(path.parent / cell)
    try:
        source_files(source)
    except InputError as error:
        raise InputError(f"{path}: line {row}, column {column}: {error}") from error
    return source


LAYOUT = Layout(
    name="csv",
    description="a table (.csv or .tsv) with one row per scan: columns subject, session, pathology, t1, t2, flair, ct "
    "or any image_<modality>, brain and lesion, or their usual other names; paths relative to the table",
    licence="that of your data",
    how_to_get="your own table: give the file, or its folder",
    healthy="rows whose pathology (diagnosis, group) says healthy or control",
    index=index,
    takes_file=True,
)
