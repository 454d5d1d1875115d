"""The cohort: a table of scans, kept as ``cohort.csv``."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_data.atomic import atomic_path
from uad_data.brain_mask import brain_mask
from uad_data.errors import InputError
from uad_data.grid import Grid
from uad_data.readers import read_affine, read_labels, read_volume, source_files
from uad_data.scan import Scan
from uad_data.table import IMAGE, MASKS, checked_table

Volume = tuple[NDArray[np.float32], NDArray[np.float64]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Cohort:
    """A table of scans, one row each, that are read only when asked for.

    Parameters
    ----------
    table : DataFrame
        Columns ``subject``, ``pathology`` (``"healthy"`` for none, ``"unknown"`` where empty) and one
        ``image_<modality>`` or more; optionally ``session``, ``split`` (``"train"``, ``"val"``, ``"test"`` or
        empty), ``brain`` and ``lesion`` (masks). Paths are sources of `uad_data.readers`, relative to `root` or
        absolute; an empty cell is a missing file. Further columns are kept as they are.
    root : Path
        The folder that relative paths start from: the one of ``cohort.csv``.

    Raises
    ------
    InputError
        No row or column that is needed, a (subject, session) that occurs twice, an unknown split, or a subject in
        two splits.
    """

    table: pd.DataFrame
    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "table", checked_table(self.table))

    @classmethod
    def read(cls, path: str | Path) -> "Cohort":
        """Read a ``cohort.csv`` and check that every file it names is there.

        Parameters
        ----------
        path : str or Path
            The table.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            The table is missing, not a table, breaks the description of `Cohort`, or names files that are not there.
        """
        path = Path(path)
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such cohort table; write one with 'uad-data index'") from error
        except (ValueError, IsADirectoryError) as error:
            raise InputError(f"{path}: expected a table of comma-separated values, found none ({error})") from error
        try:
            cohort = cls(table, path.parent)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        cohort._check_files(path)
        return cohort

    def write(self, path: str | Path) -> None:
        """Write ``cohort.csv``, whole or not at all; paths inside its folder are written relative to it.

        Parameters
        ----------
        path : str or Path
            The file to write.
        """
        path = Path(path)
        folder = Path(os.path.abspath(path.parent))
        table = self.table.copy()
        for column in self._path_columns:
            table[column] = [_relative(self._absolute(cell), folder) for cell in table[column]]
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, encoding="utf-8")

    def __len__(self) -> int:
        """Count the scans."""
        return len(self.table)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the sequences that at least one scan has, in the table's order."""
        return tuple(
            column.removeprefix(IMAGE)
            for column in self.table
            if column.startswith(IMAGE) and (self.table[column] != "").any()
        )

    @property
    def recipe(self) -> dict[str, Any] | None:
        """Give the recipe that the scans were prepared by: ``recipe.json`` beside the table; None without one."""
        try:
            return json.loads((self.root / "recipe.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError(
                f"{self.root / 'recipe.json'}: expected JSON, found none ({error}); prepare the cohort again"
            ) from error

    def row_modalities(self, i: int) -> tuple[str, ...]:
        """Names of the sequences that scan `i` has."""
        return tuple(name for name in self.modalities if self.table[IMAGE + name].iloc[i])

    def select(self, *, split: str) -> "Cohort":
        """Keep the scans of one split.

        Parameters
        ----------
        split : str
            ``"train"``, ``"val"`` or ``"test"``.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            No scan is in this split.
        """
        keep = self.table["split"] == split
        if not keep.any():
            counts = self.table["split"].value_counts().to_dict()
            raise InputError(f"split {split!r}: expected scans, found none; the cohort's splits are {counts}")
        return Cohort(self.table[keep], self.root)

    def with_modalities(self, modalities: Sequence[str]) -> "Cohort":
        """Keep the scans that have all the sequences, and log how many had not.

        Parameters
        ----------
        modalities : sequence of str
            Such as ``("t1", "flair")``.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            A modality is unknown, or no scan has all of them.
        """
        self._check_modalities(modalities)
        keep = (self.table[[IMAGE + name for name in modalities]] != "").all(axis=1)
        wanted = ", ".join(modalities)
        if not keep.any():
            raise InputError(f"modalities {wanted}: expected at least one scan with all of them, found none")
        if not keep.all():
            logger.warning("%d of %d scans lack one of %s and are left out", (~keep).sum(), len(self), wanted)
        return Cohort(self.table[keep], self.root)

    def source(self, i: int, column: str) -> str:
        """Give the full path in a column (``"image_flair"``, ``"lesion"``) of scan `i`; empty if the cell is."""
        return self._absolute(self.table[column].iloc[i])

    def load(self, i: int, modalities: Sequence[str] | None = None) -> Scan:
        """Read one scan.

        Parameters
        ----------
        i : int
            Row of the table.
        modalities : sequence of str, optional
            Sequences to read, in this order; by default all of the cohort's.

        Returns
        -------
        Scan
            Its brain is the mask that the table names. Where it names none, the brain is found on the FLAIR
            sequence (else the first one), the same whichever modalities are read. Its lesion is None where the
            table names no mask, unless the pathology is ``"healthy"``.

        Raises
        ------
        InputError
            A sequence is unknown or missing for this scan, a file cannot be used, or two files of the scan are on
            different grids.
        """
        modalities = tuple(self.modalities if modalities is None else modalities)
        self._check_modalities(modalities)
        row = self.table.iloc[i]
        for name in modalities:
            if not row[IMAGE + name]:
                raise InputError(
                    f"subject {row['subject']!r}: expected the modality {name!r}, found {self.row_modalities(i)}; "
                    "leave such scans out with Cohort.with_modalities"
                )
        sources = [self.source(i, IMAGE + name) for name in modalities]
        volumes = {source: read_volume(source) for source in sources}
        grids = [Grid(source, array.shape, affine) for source, (array, affine) in volumes.items()]
        for grid in grids[1:]:
            grids[0].require(grid)
        lesion = self._mask(i, "lesion", grids[0])
        if lesion is None and row["pathology"] == "healthy":
            lesion = np.zeros(grids[0].shape, np.uint8)
        return Scan(
            image=np.stack([volumes[source][0] for source in sources]),
            brain=self._brain(i, grids[0], volumes),
            lesion=lesion,
            affine=grids[0].affine,
            modalities=modalities,
            subject=row["subject"],
            pathology=row["pathology"],
            session=row["session"],
        )

    def digest(self, modalities: Sequence[str]) -> str:
        """Give a fingerprint of the table and the files that `load` would read.

        Parameters
        ----------
        modalities : sequence of str
            The sequences to be read.

        Returns
        -------
        str
            Hexadecimal; changes with any row, and with the size or the time of change of any file.
        """
        self._check_modalities(modalities)
        columns = [IMAGE + name for name in modalities]
        parts: list[object] = [list(modalities), self.table.to_dict(orient="records")]
        for i in range(len(self)):
            named = [self.source(i, column) for column in (*columns, *MASKS)]
            named.append("" if self.table["brain"].iloc[i] else self._brain_source(i))
            stats = [file.stat() for source in dict.fromkeys(named) if source for file in source_files(source)]
            parts.append([(stat.st_size, stat.st_mtime_ns) for stat in stats])
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def _path_columns(self) -> list[str]:
        """Columns that hold paths."""
        return [column for column in self.table if column.startswith(IMAGE) or column in MASKS]

    def _absolute(self, cell: str) -> str:
        """Give the full path of a cell."""
        return os.path.abspath(self.root / cell) if cell else ""

    def _check_files(self, path: Path) -> None:
        """Refuse a table whose files are not there."""
        missing = []
        cells = [cell for column in self._path_columns for cell in self.table[column] if cell]
        for cell in cells:
            try:
                source_files(self._absolute(cell))
            except InputError:
                missing.append(cell)
        if missing:
            raise InputError(
                f"{path}: {len(missing)} of {len(cells)} files are not there, the first is {missing[0]} "
                f"(looked for from {self.root.absolute()}); move the files back, or index them again"
            )

    def _check_modalities(self, modalities: Sequence[str]) -> None:
        """Refuse names that no scan has."""
        unknown = [name for name in modalities if name not in self.modalities]
        if unknown or not modalities:
            found = f"{unknown[0]!r}" if unknown else "none"
            raise InputError(f"modalities: expected some of {', '.join(self.modalities)}, found {found}")

    def _brain_source(self, i: int) -> str:
        """Give the sequence that the brain is found on."""
        names = self.row_modalities(i)
        return self.source(i, IMAGE + ("flair" if "flair" in names else names[0]))

    def _brain(self, i: int, grid: Grid, volumes: Mapping[str, Volume]) -> NDArray[np.bool_]:
        """Read the brain mask, or find the brain, on one of the volumes if it is among them."""
        given = self._mask(i, "brain", grid)
        if given is not None:
            if not given.any():
                raise InputError(f"{self.source(i, 'brain')}: expected a brain, found an empty mask")
            return given > 0
        source = self._brain_source(i)
        volume, affine = volumes[source] if source in volumes else read_volume(source)
        grid.require(Grid(source, volume.shape, affine))
        w, h, d = np.linalg.norm(affine[:3, :3], axis=0)
        return brain_mask(volume, (float(d), float(h), float(w)))

    def _mask(self, i: int, column: str, grid: Grid) -> NDArray[np.uint8] | None:
        """Read a mask of the table, on the first sequence's grid."""
        source = self.source(i, column)
        if not source:
            return None
        labels = read_labels(source)
        grid.require(Grid(source, labels.shape, read_affine(source)))
        return labels


def _relative(path: str, folder: Path) -> str:
    """Write a path relative to the folder if it lies inside."""
    inside = path and Path(path).is_relative_to(folder)
    return Path(path).relative_to(folder).as_posix() if inside else path
