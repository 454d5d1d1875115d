"""A folder of results that is whole or not there."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uad_data.errors import InputError

_TEMPORARY = ".tmp-"
_ABANDONED_S = 3600.0


@contextmanager
def new_folder(folder: Path, *, ours: Sequence[str], record: str) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `folder` once the block ends well.

    Where `folder` is there already, its files take the places of the earlier ones. The record goes first and comes
    last, so that a folder with a record is whole.

    Parameters
    ----------
    folder
        Where the files shall stand.
    ours
        Names of files that an earlier result may have left, to be removed.
    record
        The one that comes last.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    InputError
        It cannot be written.
    """
    inside = folder.is_dir()
    parent = folder if inside else folder.parent
    temporary = parent / f"{_TEMPORARY}{uuid.uuid4().hex[:8]}"
    with writing(folder):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if not inside:
                temporary.rename(folder)
                return
            for name in sorted(ours, key=lambda name: name != record):
                (folder / name).unlink(missing_ok=True)
            for path in sorted(temporary.iterdir(), key=lambda path: path.name == record):
                os.replace(path, folder / path.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say where writing went wrong.

    Parameters
    ----------
    path
        What is written.

    Raises
    ------
    InputError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}; make room or choose another folder") from error


def remove_abandoned(out: Path) -> None:
    """Remove what killed commands left an hour ago or before.

    Parameters
    ----------
    out
        The folder that they wrote to.
    """
    for left in (*out.glob(f"{_TEMPORARY}*"), *out.glob(f"*/{_TEMPORARY}*")):
        if left.is_dir() and time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
