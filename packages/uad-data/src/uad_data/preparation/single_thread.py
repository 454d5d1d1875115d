"""ITK on one thread, for as long as it takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk


@contextmanager
def single_thread() -> Iterator[None]:
    """Run ITK on one thread inside the block, and leave its setting as it was.

    Sums over several threads come in any order, and their last bits with them. A filter's own number of threads does
    not reach the metric of a registration; the process's default does.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
