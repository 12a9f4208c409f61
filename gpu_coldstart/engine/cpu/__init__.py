"""The engine on NumPy, SciPy, PyTorch and loops compiled by Numba."""

from __future__ import annotations

from gpu_coldstart.engine.base import Engine

__all__ = ["make"]


def make(memory_budget: int | None = None, device: int | None = None) -> tuple[Engine, str]:
    """The CPU engine, and one line on it.

    Raises
    ------
    MemoryBudgetError, DeviceError
        For any budget or device: they are about a GPU.
    """
    from gpu_coldstart.engine.cpu.engine import CpuEngine

    return CpuEngine.make(memory_budget, device)
