"""Tidy tables of an evaluation, and how they are kept on disk.

Every table and figure of a report is drawn from an :class:`Evaluation`; nothing is computed again. ``results`` is the
one to read first: one row per cohort, method, seed, subject, metric, protocol and aggregation.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from uad_eval.errors import InputError
from uad_eval.protocols import PROTOCOLS
from uad_eval.scope import Scope

POOLED, MEAN, SUBJECT = "pooled", "mean", "subject"
AGGREGATIONS = (POOLED, MEAN, SUBJECT)

_RUN = {"cohort": "str", "method": "str", "seed": "int64", "scope": "str"}
SCHEMAS: dict[str, dict[str, str]] = {
    "results": {
        "cohort": "str",
        "method": "str",
        "seed": "int64",
        "subject": "str",
        "pathology": "str",
        "metric": "str",
        "value": "float64",
        "low": "float64",
        "high": "float64",
        "protocol": "str",
        "threshold": "float64",
        "scope": "str",
        "unit": "str",
        "aggregation": "str",
    },
    "draws": _RUN | {"metric": "str", "protocol": "str", "aggregation": "str", "draws": "object"},
    "curves": _RUN | {"curve": "str", "x": "float64", "y": "float64", "threshold": "float64"},
    "samples": _RUN
    | {
        "subject": "str",
        "pathology": "str",
        "level": "str",
        "sample": "int64",
        "score": "float64",
        "anomalous": "bool",
    },
}
_IDENTITY = ["cohort", "method", "seed", "scope", "subject", "metric", "protocol", "aggregation"]


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """What a row is about: one trained model on one cohort.

    Parameters
    ----------
    cohort, method : str
        Names, as they are to stand in the tables.
    seed : int
        Of the training; 0 for a method that is not trained.
    scope : Scope
        Which voxels are counted.
    """

    cohort: str
    method: str
    seed: int = 0
    scope: Scope = field(default_factory=Scope)

    def columns(self) -> dict[str, Any]:
        """Give the columns that are the same in all rows of this run."""
        return {"cohort": self.cohort, "method": self.method, "seed": self.seed, "scope": str(self.scope)}


def table(name: str, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any] = ()) -> pd.DataFrame:
    """Make one of the tables of :data:`SCHEMAS` from rows, or from columns; what a row leaves out is NaN or ``""``."""
    given, schema = pd.DataFrame(rows), SCHEMAS[name]
    columns = {}
    for column, kind in schema.items():
        empty = float("nan") if kind == "float64" else ""
        values = given[column] if column in given else pd.Series(empty, index=given.index)
        columns[column] = (values.fillna("") if kind == "str" else values).astype(kind)
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Evaluation:
    """The four tables of one run, or of many together.

    Attributes
    ----------
    results : pandas.DataFrame
        Columns ``cohort, method, seed, subject, pathology, metric, value, low, high, protocol, threshold, scope, unit,
        aggregation``. ``aggregation`` is ``pooled`` (all voxels in one pot; subject ``pooled``), ``mean`` (mean over
        subjects; subject ``mean``) or ``subject``. ``low`` and ``high`` bound a 95 % interval over subjects.
        ``protocol`` says where the threshold comes from and is empty for figures that have none.
    draws : pandas.DataFrame
        The same figures in each bootstrap draw of the subjects, an array per row; draw ``i`` is the same draw in all.
    curves : pandas.DataFrame
        Points of the curves ``precision_recall`` and ``roc``.
    samples : pandas.DataFrame
        ℓ2 distance of each slice and each scan, and whether it is anomalous.
    """

    results: pd.DataFrame
    draws: pd.DataFrame
    curves: pd.DataFrame
    samples: pd.DataFrame

    @classmethod
    def of(cls, **tables: pd.DataFrame) -> "Evaluation":
        """Build from some of the tables, the others empty."""
        return cls(**{name: tables[name] if name in tables else table(name) for name in SCHEMAS})

    @classmethod
    def concat(cls, evaluations: Sequence["Evaluation"]) -> "Evaluation":
        """Put several together.

        Parameters
        ----------
        evaluations : sequence of Evaluation
            Parts of one run, or several runs.

        Returns
        -------
        Evaluation

        Raises
        ------
        InputError
            The same figure occurs twice.
        """
        joined = {}
        for name in SCHEMAS:
            filled = [part for e in evaluations if len(part := getattr(e, name))]
            joined[name] = pd.concat(filled, ignore_index=True) if filled else table(name)
        validate_results(joined["results"])
        return cls(**joined)

    def select(self, **equal: object) -> "Evaluation":
        """Keep the rows whose run columns equal the given values, such as ``cohort="phantom"``."""
        tables = {}
        for name in SCHEMAS:
            frame = getattr(self, name)
            for column, value in equal.items():
                frame = frame[frame[column] == value]
            tables[name] = frame.reset_index(drop=True)
        return Evaluation(**tables)

    def write(self, folder: str | Path) -> None:
        """Write all tables into a folder as Parquet, the results as CSV too; ``results.parquet`` comes last.

        Parameters
        ----------
        folder : path
            Made if it is not there. Where ``results.parquet`` is there, the others are complete.

        Raises
        ------
        InputError
            A file cannot be written, as on a full disk.
        """
        folder = Path(folder)
        write_table(self.results, folder / "results.csv")
        for name in ("draws", "curves", "samples", "results"):
            write_table(getattr(self, name), folder / f"{name}.parquet")

    @classmethod
    def read(cls, folder: str | Path) -> "Evaluation":
        """Read what :meth:`write` wrote.

        Parameters
        ----------
        folder : path

        Returns
        -------
        Evaluation

        Raises
        ------
        InputError
            A file is missing, cut short, or lacks a column.
        """
        return cls(**{name: read_table(name, Path(folder) / f"{name}.parquet") for name in SCHEMAS})


def single_figures(key: RunKey, figures: Mapping[str, tuple[float, str]]) -> Evaluation:
    """Turn figures of a whole run, such as its seconds or memory, into rows without an interval.

    Parameters
    ----------
    key : RunKey
    figures : mapping of str to (float, str)
        Metric name to value and unit: ``{"seconds": (81.2, "s"), "peak_memory": (912, "MiB")}``.

    Returns
    -------
    Evaluation
    """
    rows = [
        key.columns() | {"subject": POOLED, "metric": name, "value": value, "unit": unit, "aggregation": POOLED}
        for name, (value, unit) in figures.items()
    ]
    return Evaluation.of(results=table("results", rows))


def validate_results(results: pd.DataFrame, *, name: str = "results") -> None:
    """Check a tidy results table.

    Parameters
    ----------
    results : pandas.DataFrame
    name : str
        What to call it in the message, such as the file's path.

    Raises
    ------
    InputError
        A column is missing, a protocol or aggregation is unknown, or the same figure occurs twice.
    """
    _check_columns(results, "results", name)
    for column, known in (("protocol", ("", *PROTOCOLS)), ("aggregation", AGGREGATIONS)):
        unknown = sorted(set(results[column]) - set(known))
        if unknown:
            raise InputError(f"{name}: column {column}: expected one of {', '.join(map(repr, known))}, found {unknown}")
    twice = results[results.duplicated(_IDENTITY)]
    if len(twice):
        first = ", ".join(f"{column} {twice.iloc[0][column]}" for column in _IDENTITY if twice.iloc[0][column] != "")
        raise InputError(f"{name}: {len(twice)} figures occur twice, the first is {first}; keep one of each")


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as ``.parquet`` or ``.csv``, by its ending, at once or not at all.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : path
        Its folder is made if it is not there.

    Raises
    ------
    InputError
        The ending is another, or the file cannot be written, as on a full disk.
    """
    path = check_table_name(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); make room or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_table_name(path: str | Path) -> Path:
    """Refuse a file name that :func:`write_table` cannot write to; say so before the work is done, not after."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: expected a name that ends in .csv or .parquet")
    return path


def read_table(name: str, path: str | Path) -> pd.DataFrame:
    """Read one of the tables of :data:`SCHEMAS` from ``.parquet`` or ``.csv``.

    Parameters
    ----------
    name : str
        Which table it is to be.
    path : path

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        The file is missing, cut short, of another kind, or lacks a column.
    """
    path, schema = Path(path), SCHEMAS[name]
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the table {name} of an evaluation")
    numbers = [column for column, kind in schema.items() if kind == "float64"]
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=schema, keep_default_na=False, na_values={c: [""] for c in numbers})
        else:
            frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's and pandas' own errors are both
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read as a table ({reason}); it may be cut short: make it anew") from error
    if name == "results":
        validate_results(frame, name=str(path))
    _check_columns(frame, name, str(path))
    return frame[list(schema)].astype(schema)


def _check_columns(frame: pd.DataFrame, table_name: str, name: str) -> None:
    """Refuse a table that lacks a column of its schema."""
    missing = [column for column in SCHEMAS[table_name] if column not in frame]
    if missing:
        raise InputError(f"{name}: the table {table_name} lacks the columns {', '.join(missing)}")
