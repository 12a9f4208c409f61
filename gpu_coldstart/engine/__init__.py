"""Engines: the only code that knows which processor runs."""

from __future__ import annotations

import importlib

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import UserError

__all__ = ["Engine", "choose"]

_OLDEST = (6, 1)
"""Compute capability our kernels and CuPy need: the GTX 1080's."""

_OLDEST_FOR_RAPIDS = (7, 0)
"""Compute capability that RAPIDS and faiss-gpu for CUDA 12 need."""

_OLDEST_FOR_CUDA13 = (7, 5)


def choose(name: str, memory_budget: int | None = None) -> tuple[Engine, str]:
    """Make the engine asked for.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        ``auto`` is ``cuda`` where that can run.
    memory_budget : int or None
        Bytes of GPU memory to stay below; None for nine tenths of what is free.

    Returns
    -------
    engine : Engine
    reason : str
        One line that says which engine it is and why.

    Raises
    ------
    UserError
        When ``cuda`` is asked for and cannot run, for a budget that cannot be kept, or for an
        unknown name.

    Examples
    --------
    >>> choose("cpu")[1]
    'engine cpu: asked for'
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise UserError(f"engine '{name}' is not known: use auto, cpu or cuda")
    try:
        importlib.import_module("faiss")
    except ImportError as error:
        raise UserError(
            f"faiss is missing ({error}): install gpu-coldstart with one of its extras, "
            "pip install 'gpu-coldstart[cpu]', or [cuda13], [cuda12] or [cuda-pascal] for a GPU"
        ) from error
    if name == "cpu":
        if memory_budget is not None:
            raise UserError("--memory-budget is about a GPU's memory: leave it out on engine cpu")
        return CpuEngine(), "engine cpu: asked for"
    missing = _why_not_cuda()
    if missing is None:
        return _cuda(memory_budget)
    if name == "cuda":
        raise UserError(f"engine cuda cannot run: {missing}; mend that, or use --engine cpu")
    unused = "" if memory_budget is None else "; --memory-budget has no effect"
    return CpuEngine(), f"engine cpu: {missing}{unused}"


def _why_not_cuda() -> str | None:
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
        return "the installed faiss is a CPU build: README, section GPU, says how to install"
    return None


def _faiss_has_gpu() -> bool:
    import faiss

    return hasattr(faiss, "StandardGpuResources")


def _cuda(memory_budget: int | None) -> tuple[Engine, str]:
    """The CUDA engine for the card at hand."""
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
