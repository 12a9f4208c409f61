"""What the benchmarks ran on, and how fast that machine copies and multiplies."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bench.readings import environment, visible_gpu
from gpu_coldstart.engine import Engine

__all__ = ["RIVALS", "describe", "rates"]

RIVALS = (
    "polars", "pandas", "duckdb", "ranx", "numba", "faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs",
    "implicit", "scikit-learn", "scipy", "pyarrow", "torch", "numpy",
    "cudf-cu13", "cuml-cu13", "cuvs-cu13", "cudf-cu12", "cuml-cu12", "cuvs-cu12",
)  # fmt: skip
"""Distributions whose versions matter; only what is installed is told."""

_REPEATS = 5


def describe(engine: Engine, threads: int) -> dict[str, Any]:
    """Processor, memory, versions, commit, and the measured rates."""
    found = environment(visible_gpu() or "0")
    del found["packages"]
    installed = {}
    for name in RIVALS:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return found | {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "engine": engine.name,
        "device": engine.device,
        "versions": installed,
        "rates": rates(engine),
    }


def processor() -> str:
    """Name of the processor, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def rates(engine: Engine, *, megabytes: int = 0, side: int = 0) -> dict[str, float]:
    """What this device reaches by PyTorch: the best of several tries.

    Parameters
    ----------
    megabytes, side : int
        Size of the array that is copied and of the square matrices that are multiplied; 0 for
        what suits the device.

    Returns
    -------
    dict
        ``copy_gb_per_s``, bytes read and written, in units of 10^9; ``matmul_gflop_per_s`` in
        float32 proper; on CUDA also ``matmul_tf32_gflop_per_s``.
    """
    on_gpu = engine.name == "cuda"
    device = torch.device("cuda" if on_gpu else "cpu")
    source = torch.ones((megabytes or (1024 if on_gpu else 256)) << 18, device=device)
    target = torch.empty_like(source)
    copied = 2 * 4 * source.numel()
    n = side or (8192 if on_gpu else 2048)
    left = torch.ones((n, n), device=device)
    out = torch.empty_like(left)

    def multiply() -> None:
        torch.mm(left, left, out=out)

    found = {"copy_gb_per_s": copied / _best(lambda: target.copy_(source), on_gpu=on_gpu) / 1e9}
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allowed in (False, True) if on_gpu else (False,):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            name = "matmul_tf32_gflop_per_s" if allowed else "matmul_gflop_per_s"
            found[name] = 2 * n**3 / _best(multiply, on_gpu=on_gpu) / 1e9
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {name: round(rate, 1) for name, rate in found.items()}


def _best(work: Callable[[], object], *, on_gpu: bool) -> float:
    """Least seconds of several calls, after one that does not count."""
    work()
    taken = []
    for _ in range(_REPEATS):
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)
