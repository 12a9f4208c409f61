"""Time and memory of one call."""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from gpu_coldstart import profiling
from gpu_coldstart.engine import Engine

__all__ = ["Taken", "call"]


@dataclass(frozen=True)
class Taken:
    """What a call took.

    Attributes
    ----------
    seconds : float
        On CUDA between two events, the second recorded when every stream is done; on the CPU by
        the clock.
    peak_mb : float
        By how much the process's resident memory grew at most. Free memory is given back before,
        but what a library keeps for later calls (a pool of its own) is not seen again in these, so
        the largest of several calls tells.
    device_peak_mb : float
        Most memory in the engine's pool; what others take beside the pool is not in it.
    """

    seconds: float
    peak_mb: float
    device_peak_mb: float


def call(engine: Engine, name: str, work: Callable[[], Any]) -> tuple[Any, Taken]:
    """Do ``work()`` within a profiler's range ``name``; returns what it returns, and its cost."""
    gc.collect()
    _give_back()
    before = _forget_peak()
    engine.peak_mb()
    with profiling.stage(name):
        result, seconds = _on_device(work) if engine.name == "cuda" else _on_host(work)
    return result, Taken(seconds, max(0.0, _peak_mb() - before), engine.peak_mb())


def _on_host(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _on_device(work: Callable[[], Any]) -> tuple[Any, float]:
    """Libraries have streams of their own, for all of which the end waits."""
    # torch leaves the class without annotations, which strict mypy may not call.
    first, last = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    torch.cuda.synchronize()
    first.record()
    result = work()
    torch.cuda.synchronize()
    last.record()
    last.synchronize()
    return result, float(first.elapsed_time(last)) / 1000


def _give_back() -> None:
    """Return free memory to the system, where that can be asked for (glibc, Arrow).

    Else a call could take what an earlier one has left, and seem to need none.
    """
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> float:
    """Let the kernel count the peak anew, where it offers to (Linux); MB held now."""
    with suppress(OSError):  # else the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak_mb() -> float:
    return _status("VmHWM")


def _status(field: str) -> float:
    """A size in MB from the kernel's account of this process."""
    with suppress(OSError):  # not Linux
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
