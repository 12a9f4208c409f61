"""The engine on CuPy, RAPIDS, faiss-gpu and our own kernels; nothing of them is imported here."""

from __future__ import annotations

import importlib

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import EngineUnavailableError

__all__ = ["make"]

_OLDEST = (6, 1)
"""Compute capability our kernels and CuPy need: the GTX 1080's."""

_OLDEST_FOR_RAPIDS = (7, 0)
"""Compute capability that RAPIDS and faiss-gpu for CUDA 12 need."""

_OLDEST_FOR_CUDA13 = (7, 5)


def _why_not() -> str | None:
    """What stands between this machine and the CUDA engine; None where nothing does."""
    import torch

    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device here"
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        return (
            f"{torch.cuda.get_device_name()} has compute capability {_dotted(capability)}, older "
            f"than {_dotted(_OLDEST)}"
        )
    needed, extra = ["cupy"], "cuda-pascal"
    if capability >= _OLDEST_FOR_RAPIDS:
        needed += ["cudf", "cuml", "rmm"]
        extra = "cuda13" if str(torch.version.cuda).startswith("13") else "cuda12"
    if extra == "cuda13" and capability < _OLDEST_FOR_CUDA13:
        return (
            f"{torch.cuda.get_device_name()} has compute capability {_dotted(capability)}, and "
            f"CUDA 13 needs {_dotted(_OLDEST_FOR_CUDA13)}: pip install 'gpu-coldstart[cuda12]'"
        )
    for library in needed:
        try:
            importlib.import_module(library)
        except (ImportError, OSError, RuntimeError) as error:  # all of them tell a broken install
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            return f"{library} cannot be imported ({reason}): pip install 'gpu-coldstart[{extra}]'"
    if capability >= _OLDEST_FOR_RAPIDS and not _faiss_has_gpu():
        return "the installed faiss is a CPU build: docs/gpu.md says how to install"
    return None


def _faiss_has_gpu() -> bool:
    import faiss

    return hasattr(faiss, "StandardGpuResources")


def make(memory_budget: int | None) -> tuple[Engine, str]:
    """The CUDA engine for the card at hand, and one line on it.

    Raises
    ------
    EngineUnavailableError
        Where there is no card that will do, or a library is missing.
    MemoryBudgetError
        For a budget that cannot be kept.
    """
    missing = _why_not()
    if missing is not None:
        raise EngineUnavailableError("cuda", missing)
    import torch

    from gpu_coldstart.engine.cuda.engine import CudaEngine, PascalEngine

    capability = torch.cuda.get_device_capability()
    what = f"{torch.cuda.get_device_name()}, compute capability {_dotted(capability)}"
    if capability >= _OLDEST_FOR_RAPIDS:
        return CudaEngine(memory_budget), f"engine cuda: {what}"
    return PascalEngine(memory_budget), (
        f"engine cuda: {what}; RAPIDS and faiss-gpu need {_dotted(_OLDEST_FOR_RAPIDS)}, so "
        "reading, k-means and retrieval run on the CPU"
    )


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
