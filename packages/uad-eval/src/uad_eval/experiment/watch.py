"""What a cell costs: seconds per phase and the most memory it held."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

_EVERY_S = 0.05
_MIB = 2**20


class Watch:
    """Stopwatch per phase, and the highest memory seen during any of them, of the process and of a GPU in use."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_memory_mib = 0.0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase.

        Parameters
        ----------
        name : str
            Becomes ``<name>_seconds``.
        """
        stop = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(stop,), daemon=True)
        started = time.perf_counter()
        sampler.start()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started
            stop.set()
            sampler.join()

    def measured(self) -> dict[str, tuple[float, str]]:
        """Give the figures with their units."""
        figures = {f"{name}_seconds": (value, "s") for name, value in self.seconds.items()}
        figures["seconds"] = (sum(self.seconds.values()), "s")
        figures["peak_memory"] = (self.peak_memory_mib, "MiB")
        if torch.cuda.is_available():
            figures["peak_gpu_memory"] = (torch.cuda.max_memory_allocated() / _MIB, "MiB")
        return figures

    def _sample(self, stop: threading.Event) -> None:
        """Look at the process's memory until told to stop."""
        process = psutil.Process()
        while True:
            self.peak_memory_mib = max(self.peak_memory_mib, process.memory_info().rss / _MIB)
            if stop.wait(_EVERY_S):
                return
