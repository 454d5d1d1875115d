"""Files that are whole or not there: written beside their place under another name, then renamed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it takes the place of `path` once the block ends without an error.

    Parameters
    ----------
    path : str or Path
        Where the file shall stand. Missing parent folders are made.

    Yields
    ------
    Path
        A name in the same folder with the same ending, to be written as one file.

    Raises
    ------
    OSError
        The folder cannot be written to, or the disk is full. What was there before stays, and nothing
        half-written is left.

    Notes
    -----
    The file reaches the disk (``fsync``) before it is renamed, so that a power cut cannot leave an empty one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
