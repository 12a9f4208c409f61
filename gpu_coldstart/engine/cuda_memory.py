"""GPU memory: one pool for every library, a budget, and smaller batches when it does not suffice.

PyTorch's caching allocator serves CuPy, and RAPIDS through RMM, too. So a block that one library
has freed is there for the next, one number bounds all of them, and one number says what was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy as cp
import torch

from gpu_coldstart.errors import UserError

__all__ = ["OUT_OF_MEMORY", "Memory", "out_of_memory"]

_OUTSIDE = 768 << 20
"""Bytes a process takes that no pool counts: the CUDA context, compiled kernels, libraries' own."""

_LEAST = 1 << 30
"""The smallest budget that is worth trying."""

_SHARE = 8
"""A batch's buffers take at most this part of the pool, and leave the rest to what is kept."""

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What CuPy, RMM and PyTorch raise. (faiss raises a RuntimeError.)"""


class Memory:
    """The memory of one device.

    Parameters
    ----------
    budget : int or None
        Bytes the process may use; None for nine tenths of what is free.
    rapids : bool
        Let RMM, and so cuDF and cuML, take from the pool.

    Raises
    ------
    UserError
        When the budget is below a gigabyte, or not free.
    """

    def __init__(self, budget: int | None, *, rapids: bool):
        free, total = torch.cuda.mem_get_info()
        self.budget = int(0.9 * free) if budget is None else budget
        if budget is not None and budget > free:
            raise UserError(
                f"--memory-budget asks for {_gb(budget)}, but {_gb(free)} of the GPU's "
                f"{_gb(total)} are free: set it lower, or end what else runs there"
            )
        if self.budget < _LEAST:
            raise UserError(
                f"{_gb(self.budget)} of GPU memory are too little: give --memory-budget 1GB or "
                "more, or use --engine cpu"
            )
        self.pool = self.budget - _OUTSIDE
        torch.cuda.set_per_process_memory_fraction(self.pool / total)
        cp.cuda.set_allocator(cp.cuda.PythonFunctionAllocator(_allocate, _release).malloc)
        if rapids:
            _share_with_rmm()

    def peak_mb(self) -> float:
        """See :meth:`gpu_coldstart.engine.base.Engine.peak_mb`; with what no pool counts."""
        peak = torch.cuda.max_memory_reserved() + _OUTSIDE
        torch.cuda.reset_peak_memory_stats()
        return float(peak) / (1 << 20)

    def rows(self, row_bytes: int) -> int:
        """How many rows of ``row_bytes`` a batch may have."""
        return max(1, self.pool // _SHARE // max(1, row_bytes))

    def batched(self, what: str, n: int, row_bytes: int, work: Callable[[int, int], None]) -> None:
        """Do ``work(start, stop)`` for runs of rows that cover ``n``.

        A run that the memory does not suffice for is done again in halves; ``work`` must not mind
        being broken off and repeated.

        Parameters
        ----------
        what : str
            Name of the work, for the error.
        row_bytes : int
            Bytes of temporary memory a row needs.

        Raises
        ------
        UserError
            When it does not suffice for a single row.
        """
        step, start = min(n, self.rows(row_bytes)), 0
        while start < n:
            stop = min(start + step, n)
            try:
                work(start, stop)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if stop - start == 1:
                    raise UserError(self.explain(what)) from error
                step = (stop - start) // 2
                retry = True
            else:
                start, retry = stop, False
            if retry:  # outside of the handler, whose traceback keeps the failed buffers alive
                torch.cuda.empty_cache()

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Tell a lack of memory as one sentence."""
        try:
            yield
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise UserError(self.explain(what)) from error

    def explain(self, what: str) -> str:
        """The sentence about a lack of memory."""
        return (
            f"the GPU memory of {_gb(self.budget)} does not suffice for {what}: raise "
            "--memory-budget where the card has more, choose smaller sizes, or use --engine cpu"
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception tells a lack of GPU memory, in the words of any of the libraries."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "out_of_memory", "bad_alloc", "cudamalloc")
    )


def _gb(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB"


def _allocate(size: int, device: int) -> int:
    """Memory of PyTorch's pool for CuPy's current stream."""
    stream = cp.cuda.get_current_stream().ptr
    return int(torch.cuda.caching_allocator_alloc(size, device, stream)) if size else 0


def _release(pointer: int, device: int) -> None:
    del device
    if pointer:
        torch.cuda.caching_allocator_delete(pointer)  # type: ignore[no-untyped-call]


def _share_with_rmm() -> None:
    import rmm

    def allocate(size: int, stream: Any) -> int:
        del stream
        return _allocate(size, torch.cuda.current_device())

    def release(pointer: int, size: int, stream: Any) -> None:
        del size, stream
        _release(pointer, 0)

    rmm.mr.set_current_device_resource(rmm.mr.CallbackMemoryResource(allocate, release))
