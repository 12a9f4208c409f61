"""The same number of threads for everybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["VARIABLES", "announce", "limited"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""Environment variables that libraries read once, when they are loaded."""


def announce(threads: int) -> None:
    """Set the variables; only libraries that are loaded afterwards see them."""
    for name in VARIABLES:
        os.environ[name] = str(threads)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Hold the libraries that are loaded already to a number of threads, within the block.

    DuckDB, ranx and implicit are told by their benchmarks, where they take the number as an
    argument; Polars reads its variable only.
    """
    import pyarrow as pa
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads(), pa.cpu_count()
    torch.set_num_threads(threads)
    pa.set_cpu_count(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before[0])
        pa.set_cpu_count(before[1])
