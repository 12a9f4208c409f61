"""Rows in parallel on the CPU: NumPy and SciPy let other threads run while they compute."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from gpu_coldstart.engine.base import HostArray

__all__ = ["Arena", "Scratch", "number_of_threads", "one_blas_thread", "over_rows"]


def number_of_threads() -> int:
    """How many threads to take: as many as PyTorch does where it is loaded, or would."""
    if (torch := sys.modules.get("torch")) is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))


_own = threading.local()


class Scratch(threading.local):
    """An array of float32 for each thread, made once: new memory for each run of rows is slow."""

    def __init__(self, rows: int, columns: int):
        self.array: HostArray = np.empty((rows, columns), np.float32)


class Arena:
    """Memory by name that is used again and again, as to be given new pages takes long.

    What one call leaves the next one takes, whichever thread it runs on; of much, nothing is kept.
    """

    _most = 1 << 23
    _left: ClassVar[list[Arena]] = []

    def __init__(self) -> None:
        self._held: dict[str, HostArray] = {}

    @classmethod
    @contextmanager
    def taken(cls) -> Iterator[Arena]:
        """One that nobody else has, within the block."""
        try:
            arena = cls._left.pop()
        except IndexError:
            arena = cls()
        yield arena
        if sum(block.nbytes for block in arena._held.values()) <= cls._most:
            cls._left.append(arena)

    def array(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> HostArray:
        """An array of that name, until it is asked for again; it may hold anything."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        block = self._held.get(name)
        if block is None or block.nbytes < size:
            block = self._held[name] = np.zeros(size, np.uint8)
        return block[:size].view(kind).reshape(shape)


def over_rows(n: int, batch: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` for runs of at most ``batch`` of ``n`` rows, several at a time.

    Runs are the same for any number of threads, and BLAS takes one thread in each; so where a run
    writes rows of its own, the result does not depend on how many threads there are.
    """
    starts = range(0, n, batch)
    with one_blas_thread():
        several = min(number_of_threads(), len(starts))
        if several < 2:
            for start in starts:
                work(start, min(start + batch, n))
            return
        with ThreadPoolExecutor(several) as threads:
            for done in [threads.submit(work, start, min(start + batch, n)) for start in starts]:
                done.result()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS take one thread: for many small products more take longer, most of all where other
    processes have the cores. Within another such block of the thread it takes no time.
    """
    if getattr(_own, "limited", False):
        yield
        return
    with _libraries().limit(limits=1, user_api="blas"):
        _own.limited = True
        try:
            yield
        finally:
            _own.limited = False


@cache
def _libraries() -> ThreadpoolController:
    """The libraries loaded so far, found once, as looking for them takes milliseconds."""
    return ThreadpoolController()
