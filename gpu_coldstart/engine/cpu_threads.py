"""Rows in parallel on the CPU: NumPy and SciPy let other threads run while they compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["over_rows"]


def over_rows(n: int, batch: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` for runs of at most ``batch`` of ``n`` rows, several at a time.

    Runs are the same for any number of threads, and BLAS takes one thread in each; so where a run
    writes rows of its own, the result does not depend on how many threads there are.
    """
    starts = range(0, n, batch)
    with _libraries().limit(limits=1, user_api="blas"):
        if len(starts) < 2:
            for start in starts:
                work(start, n)
            return
        with ThreadPoolExecutor(min(torch.get_num_threads(), len(starts))) as threads:
            for done in [threads.submit(work, start, min(start + batch, n)) for start in starts]:
                done.result()


@cache
def _libraries() -> ThreadpoolController:
    """The libraries loaded so far, found once, as looking for them takes milliseconds."""
    return ThreadpoolController()
