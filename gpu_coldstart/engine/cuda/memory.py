"""GPU memory: one pool for every library, a budget, and smaller batches when it does not suffice.

PyTorch's caching allocator serves CuPy, and RAPIDS through RMM, too. So a block that one library
has freed is there for the next, one number bounds all of them, and one number says what was used.
Only where PyTorch is told to cache nothing does each take its own from the driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import cupy as cp
import torch

from gpu_coldstart.errors import (
    EngineUnavailableError,
    MemoryBudgetError,
    OutOfDeviceMemoryError,
    gigabytes,
)

__all__ = ["OUT_OF_MEMORY", "Memory", "out_of_memory"]

_OUTSIDE = 1280 << 20
"""Bytes a process takes that no pool counts: the CUDA context, compiled kernels, libraries' own.

On an H100 with RAPIDS 26.06 they were 1151 and 1169 MB in two runs at the paper's size: what
nvidia-smi saw at most, less what PyTorch had reserved. Libraries take it as they come to need it,
so it cannot be measured at the start. No other card has been measured."""

_LEAST = 3 << 29
"""The smallest budget that is worth trying: :data:`_OUTSIDE` and a little to work with."""

_SHARE = 8
"""A batch's buffers take at most this part of the pool, and leave the rest to what is kept."""

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What CuPy, RMM and PyTorch raise. (faiss raises a RuntimeError.)"""


_LACKS = (
    "out of memory",
    "out_of_memory",
    "bad_alloc",
    "cudamalloc",
    "alloc_failed",  # cuBLAS, cuSOLVER
    "insufficient_resources",  # cuSPARSE
    "memory allocation error",  # faiss
)

_NULL_STREAM = 0
_LAST_COMMON_STREAM = 2
"""Handles up to this (default, legacy, per thread) are streams that wait for each other; a block
of any other must not be handed to these before its work is done, so it has blocks of its own."""


def _uncached() -> bool:
    """Whether PyTorch was told to cache nothing, as one does to have a sanitizer see every block.

    What others take by way of its allocator is cached nevertheless, so that they must then take
    theirs from the driver.
    """
    return os.environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING", "0") not in {"", "0"}


def _allocate(size: int, stream: int) -> int:
    """A block of the pool.

    Raises
    ------
    MemoryError
        Where there is none. PyTorch's own error is a RuntimeError, which the C++ code of CuPy and
        of RMM does not take for a lack of memory.
    """
    if not size:
        return 0
    device = torch.cuda.current_device()
    try:
        return int(torch.cuda.caching_allocator_alloc(size, device, stream))
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error


def _release(pointer: int) -> None:
    # torch leaves this function without annotations, which strict mypy may not call.
    torch.cuda.caching_allocator_delete(pointer)  # type: ignore[no-untyped-call]


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
    MemoryBudgetError
        When the budget is below 1.5 gigabytes, or not free.
    EngineUnavailableError
        When others hold so much of the card that the smallest budget cannot be had.
    """

    def __init__(self, budget: int | None, *, rapids: bool):
        free, total = torch.cuda.mem_get_info()
        free += torch.cuda.memory_reserved()  # by an earlier engine of this process
        self.budget = int(0.9 * free) if budget is None else budget
        if (self.budget if budget is None else free) < _LEAST:
            raise EngineUnavailableError(
                "cuda",
                f"{gigabytes(free)} of the GPU's {gigabytes(total)} are free, and "
                f"{gigabytes(int(_LEAST / 0.9))} are the least that it needs",
            )
        if not _LEAST <= self.budget <= free:
            raise MemoryBudgetError(self.budget, free, total)
        self.pool = self.budget - _OUTSIDE
        torch.cuda.set_per_process_memory_fraction(self.pool / total)
        pooled = not _uncached()
        cp.cuda.set_allocator(_cupy_allocate if pooled else None)
        if rapids:
            import rmm

            resource = _rmm_resource() if pooled else rmm.mr.CudaMemoryResource()
            rmm.mr.set_current_device_resource(resource)

    def peak_mb(self) -> float:
        """See :meth:`gpu_coldstart.engine.base.Engine.peak_mb`; with what no pool counts.

        Blocks in use are counted, not those that PyTorch keeps for later, which may be left over
        from an earlier stage.
        """
        peak = torch.cuda.max_memory_allocated() + _OUTSIDE
        torch.cuda.reset_peak_memory_stats()
        return float(peak) / (1 << 20)

    def reserved_mb(self) -> float:
        """See :meth:`gpu_coldstart.engine.base.Engine.reserved_mb`; with what no pool counts."""
        return float(torch.cuda.memory_reserved() + _OUTSIDE) / (1 << 20)

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
        OutOfDeviceMemoryError
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
                    raise OutOfDeviceMemoryError(self.budget, what) from error
                step = (stop - start) // 2
                retry = True
            else:
                start, retry = stop, False
            if retry:  # outside of the handler, whose traceback keeps the failed buffers alive
                torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception tells a lack of GPU memory, in the words of any of the libraries."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _LACKS)


class _Block:
    """A block of PyTorch's pool, given back when its owner is forgotten.

    CuPy has an allocator made of two functions, but a block of that is lost for good when the
    garbage collector, rather than a reference count, finds it.
    """

    def __init__(self, pointer: int):
        self.pointer = pointer

    def __del__(
        self,
        release: Callable[[int], None] = _release,
        ending: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if not ending():  # else PyTorch is half taken down, and the driver frees everything
            release(self.pointer)


def _cupy_allocate(size: int) -> Any:
    """Memory for CuPy; it works on the null stream, as PyTorch does."""
    device = torch.cuda.current_device()
    pointer = _allocate(size, _NULL_STREAM)
    owner = _Block(pointer) if pointer else None
    return cp.cuda.MemoryPointer(cp.cuda.UnownedMemory(pointer, size, owner, device), 0)


@cache
def _rmm_resource() -> Any:
    """RMM's way to the pool; one for the process, as RMM does not keep the functions alive."""
    import rmm

    return rmm.mr.CallbackMemoryResource(_rmm_allocate, _rmm_release)


def _rmm_allocate(size: int, stream: Any) -> int:
    handle = int(stream.__cuda_stream__()[1])
    return _allocate(size, handle if handle > _LAST_COMMON_STREAM else _NULL_STREAM)


def _rmm_release(pointer: int, size: int, stream: Any) -> None:
    del size, stream
    if pointer:
        _release(pointer)
