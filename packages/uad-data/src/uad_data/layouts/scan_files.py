"""What an index function gathers: which files belong to which scan."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.readers.nifti import SUFFIXES

logger = logging.getLogger(__name__)

# (subject, session)
Scan = tuple[str, str]


def files_below(folder: Path, endings: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """List the files with such endings in the folder and below, in order, without hidden ones.

    Parameters
    ----------
    folder : Path
        Where to look.
    endings : tuple of str
        Lower case; by default those of NIfTI files.

    Returns
    -------
    list of Path
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(endings)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


class ScanFiles:
    """Files sorted by scan; every scan has at most one file per column.

    Parameters
    ----------
    folder : Path
        The data set, for messages.
    expected : str
        An example of the files looked for, for the message of an empty folder.
    hint : str
        What to do about an empty folder.
    """

    def __init__(self, folder: Path, *, expected: str, hint: str) -> None:
        self._folder, self._expected, self._hint = folder, expected, hint
        self._scans: dict[Scan, dict[str, Path | str]] = {}
        self._repeats: list[Path] = []

    def add(
        self, column: str, path: Path | str, *, subject: str, session: str = "", first_of_several: bool = False
    ) -> None:
        """Put a file in its place.

        Parameters
        ----------
        column : str
            ``image_<modality>``, ``brain``, ``lesion`` or a further column.
        path : Path or str
            The file, or another source of `uad_data.readers`.
        subject, session : str
            The scan.
        first_of_several : bool
            Keep the file that came first where a visit measured a sequence several times, instead of refusing the
            second.

        Raises
        ------
        InputError
            The place is taken.
        """
        scan = self._scans.setdefault((subject, session), {})
        if column not in scan:
            scan[column] = path
        elif first_of_several and Path(path).name != Path(scan[column]).name:
            self._repeats.append(Path(path))
        else:
            visit = f", session {session}" if session else ""
            raise InputError(
                f"{path}: expected one file for {column} of subject {subject}{visit}, found also {scan[column]}; "
                "move one away"
            )

    def require(self, *columns: str, where: Callable[[Scan], bool] | None = None) -> None:
        """Refuse scans that lack a file.

        Parameters
        ----------
        *columns : str
            What every scan must have.
        where : callable
            Takes (subject, session) and says whether the scan must have them; by default all must.

        Raises
        ------
        InputError
            A scan lacks one of them.
        """
        for (subject, session), scan in self._scans.items():
            missing = [column.removeprefix("image_") for column in columns if column not in scan]
            if missing and (where is None or where((subject, session))):
                visit = f", session {session}" if session else ""
                names = ", ".join(str(Path(path).name) for path in scan.values())
                raise InputError(
                    f"{self._folder}: subject {subject}{visit}: expected a file for {' and '.join(missing)}, found "
                    f"only {names}; complete the scan or move it away"
                )

    def has_image(self, scan: Scan) -> bool:
        """Tell whether a scan has an image."""
        return any(name.startswith("image_") for name in self._scans.get(scan, {}))

    def has(self, column: str, scan: Scan) -> bool:
        """Tell whether a scan has a file in a column."""
        return column in self._scans.get(scan, {})

    def table(self, pathology: str | Callable[[Scan], str]) -> pd.DataFrame:
        """Give one row per scan.

        Parameters
        ----------
        pathology : str or callable
            Of every scan, or a function of (subject, session).

        Returns
        -------
        DataFrame
            As `Layout` describes it.

        Raises
        ------
        InputError
            There is no scan.
        """
        if not self._scans:
            raise InputError(f"{self._folder}: expected {self._expected}, found none; {self._hint}")
        if self._repeats:
            some = ", ".join(path.name for path in self._repeats[:3]) + (", ..." if len(self._repeats) > 3 else "")
            logger.warning("%d files repeat a sequence of their visit and are left out: %s", len(self._repeats), some)
        rows = [
            {
                "subject": subject,
                "session": session,
                "pathology": pathology if isinstance(pathology, str) else pathology((subject, session)),
                **{column: str(path) for column, path in scan.items()},
            }
            for (subject, session), scan in self._scans.items()
        ]
        return pd.DataFrame(rows).fillna("")
