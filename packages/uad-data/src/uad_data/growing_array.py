"""A ``.npy`` file that grows item by item."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike


@contextmanager
def growing_array(path: Path, item_shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a ``.npy`` file of unknown length: items are appended, the header gets their count at the end.

    Parameters
    ----------
    path : Path
        The file to write. It is valid, and on the disk, once the block has ended without an error.
    item_shape : tuple of int
        Shape of one item.
    dtype : data type
        Type of the file's numbers.

    Yields
    ------
    callable
        Takes ``(n, *item_shape)`` items, of a type that converts to the file's, and appends them.
    """
    count = 0
    with open(path, "wb") as file:

        def append(items: np.ndarray) -> None:
            nonlocal count
            file.write(np.ascontiguousarray(items, dtype=dtype).data)
            count += len(items)

        _write_header(file, (0, *item_shape), dtype)
        yield append
        file.seek(0)
        _write_header(file, (count, *item_shape), dtype)
        file.flush()
        os.fsync(file.fileno())


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Write the header; numpy pads it to one length for any number of items."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
