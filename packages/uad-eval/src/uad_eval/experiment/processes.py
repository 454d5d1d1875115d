"""Jobs one after the other elsewhere: in processes of this machine, or on the workers of a Dask cluster.

A process that is killed, as for want of memory, takes the pool with it, and nobody knows which job it had. So the jobs
that are left then run again one by one, each in a process of its own, and the one that is killed there has failed.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import torch

from uad_eval.errors import InputError

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def run_each(
    work: Callable[[Job], Outcome],
    jobs: Sequence[Job],
    *,
    after: Mapping[int, Collection[int]] | None = None,
    processes: int = 1,
    scheduler: str = "",
) -> Iterator[tuple[int, Outcome | Exception]]:
    """Do every job, several at once.

    Parameters
    ----------
    work : callable
        What to do with a job; a function of a module, so that other processes find it.
    jobs : sequence
        Can be pickled. They begin in this order.
    after : mapping of int to collection of int, optional
        Places of jobs that wait until others, by their places, have ended; those behind them do not wait.
    processes : int
        Processes on this machine; torch's threads are divided among them.
    scheduler : str
        Address of a Dask scheduler, such as ``tcp://host:8786``: jobs go to its workers instead, which must see the
        same folders and have one thread each.

    Yields
    ------
    place : int
        Of the job, from 0, in the order in which they end.
    outcome
        What `work` returned, or the exception that it raised, or that tells how its process ended.

    Raises
    ------
    InputError
        There is no such scheduler.
    """
    left = dict(enumerate(jobs))
    threads = max(1, torch.get_num_threads() // processes)
    waiting, running = list(left), dict[Future[Outcome], int]()
    room = len(jobs) if scheduler else processes
    with _executor(processes, threads, scheduler) as executor:
        while waiting or running:
            ahead = {*waiting, *running.values()}
            ready = [place for place in waiting if not ahead & {*(after or {}).get(place, ())}]
            for place in ready[: room - len(running)]:
                waiting.remove(place)
                try:
                    running[executor.submit(work, left[place])] = place
                except BrokenProcessPool:
                    waiting.clear()
                    break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place = running.pop(future)
                if isinstance(found := _outcome(future), BrokenProcessPool):
                    waiting.clear()
                else:
                    del left[place]
                    yield place, found
    for place, job in left.items():
        with _executor(1, threads, "") as executor:
            yield place, _outcome(executor.submit(work, job))


def _outcome(future: Future[Outcome]) -> Outcome | Exception:
    """Wait for a job; an interrupt stops everything."""
    try:
        return future.result()
    except Exception as error:
        return error


@contextmanager
def _executor(processes: int, threads: int, scheduler: str) -> Iterator[Executor]:
    """Open what does the jobs."""
    if scheduler:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("scheduler: needs Dask: pip install 'uad-data[dask]'") from error
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise InputError(f"scheduler {scheduler}: expected a Dask scheduler, found none ({error})") from error
        with client, client.get_executor(pure=False) as executor:
            yield executor
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(threads,)) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(threads: int) -> None:
    """Take a share of the cores; end when the parent ends, even killed: whoever resumes writes to the same folders."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
