"""The engine on NumPy, SciPy, faiss-cpu and loops compiled by Numba."""

from __future__ import annotations

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import MemoryBudgetError

__all__ = ["make"]


def make(memory_budget: int | None) -> tuple[Engine, str]:
    """The CPU engine, and one line on it.

    Raises
    ------
    MemoryBudgetError
        For any budget: it is about a GPU's memory.
    """
    if memory_budget is not None:
        raise MemoryBudgetError(memory_budget, 0, 0)
    from gpu_coldstart.engine.cpu.engine import CpuEngine

    return CpuEngine(), "engine cpu: asked for"
