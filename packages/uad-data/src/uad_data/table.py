"""The columns of ``cohort.csv`` and what their cells may be."""

import pandas as pd

from uad_data.errors import InputError
from uad_data.split import SPLITS

IMAGE = "image_"
MASKS = ("brain", "lesion")
_FIRST = ("subject", "session", "split", "pathology")


def checked_table(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in the optional columns and refuse rows that contradict one another.

    Parameters
    ----------
    table : DataFrame
        As for `Cohort`.

    Returns
    -------
    DataFrame
        A copy with every column, as text, in the order that they are written in; rows are numbered from 0.

    Raises
    ------
    InputError
        As for `Cohort`.
    """
    missing = [column for column in ("subject", "pathology") if column not in table]
    images = [column for column in table if str(column).startswith(IMAGE)]
    if missing or not images:
        raise InputError(
            "cohort table: expected the columns subject, pathology and image_<modality>, "
            f"found {', '.join(map(str, table.columns)) or 'none'}"
        )
    table = table.copy().reset_index(drop=True)
    for column in (*_FIRST, *images, *MASKS):
        table[column] = table[column].fillna("").astype(str) if column in table else ""
    table.loc[table["pathology"] == "", "pathology"] = "unknown"
    rest = [column for column in table if column not in (*_FIRST, *images, *MASKS)]
    table = table[[*_FIRST, *images, *MASKS, *rest]]
    _check_rows(table)
    return table


def _check_rows(table: pd.DataFrame) -> None:
    """Refuse a table whose rows contradict one another."""
    if table.empty:
        raise InputError("cohort table: expected at least one scan, found none")
    images = [column for column in table if column.startswith(IMAGE)]
    for problem, bad in (
        ("a subject's name", table["subject"] == ""),
        ("an image", (table[images] == "").all(axis=1)),
    ):
        if bad.any():
            raise InputError(f"cohort table: row {bad.idxmax() + 1}: expected {problem}, found an empty cell")
    twice = table[table.duplicated(["subject", "session"])]
    if len(twice):
        subject, session = twice.iloc[0][["subject", "session"]]
        raise InputError(
            f"cohort table: subject {subject!r}, session {session!r}: expected one row, found more; "
            "name the visits in the column session"
        )
    unknown = table[~table["split"].isin(("", *SPLITS))]
    if len(unknown):
        raise InputError(
            f"cohort table: subject {unknown['subject'].iloc[0]!r}: expected the split {', '.join(SPLITS)} or none, "
            f"found {unknown['split'].iloc[0]!r}"
        )
    splits = table.groupby("subject")["split"].agg(lambda names: sorted(set(names)))
    torn = splits[splits.map(len) > 1]
    if len(torn):
        raise InputError(
            f"cohort table: subject {torn.index[0]!r}: expected all scans in one split, found {torn.iloc[0]}"
        )
