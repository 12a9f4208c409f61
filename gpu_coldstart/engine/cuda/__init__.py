"""The engine on CuPy, RAPIDS, faiss-gpu and our own kernels; nothing of them is imported here."""

from __future__ import annotations

import importlib
import warnings

from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import DeviceError, EngineUnavailableError, first_line

__all__ = ["make"]

_OLDEST = (6, 1)
"""Compute capability our kernels and CuPy need: the GTX 1080's."""

_OLDEST_FOR_RAPIDS = (7, 0)
"""Compute capability that RAPIDS and faiss-gpu for CUDA 12 need."""

_OLDEST_FOR_CUDA13 = (7, 5)


def _why_not(device: int | None) -> str | None:
    """What stands between this machine and the CUDA engine; None where nothing does."""
    import torch

    missing = _no_card(device)
    if missing is not None:
        return missing
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        return (
            f"{torch.cuda.get_device_name()} has compute capability {_dotted(capability)}, older "
            f"than {_dotted(_OLDEST)}"
        )
    needed, extra = ["cupy"], "cuda-pascal"
    if capability >= _OLDEST_FOR_RAPIDS:
        needed += ["cudf", "cuml", "rmm", "faiss"]
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
    mixed = _mixed_cuda()
    if mixed is not None:
        return f"{mixed}: pip install 'gpu-coldstart[{extra}]' into a new environment"
    if capability >= _OLDEST_FOR_RAPIDS and not _faiss_has_gpu():
        return "the installed faiss is a CPU build: docs/gpu.md says how to install"
    return None


def _no_card(device: int | None) -> str | None:
    """Why no card can be worked with, in PyTorch's own words where it has any.

    Makes ``device`` PyTorch's current one, so that no other gets a context of this process.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver is only warned of, and told below
        available = torch.cuda.is_available()
    try:
        # torch leaves this function without annotations, which strict mypy may not call.
        torch.cuda.init()  # type: ignore[no-untyped-call]
        if available:
            _select(device)
            torch.cuda.mem_get_info()  # the first call that needs a context of this process
            return None
    except AssertionError:  # a PyTorch for the CPU
        pass
    except RuntimeError as error:
        reason = first_line(error)
        if available:
            return f"the CUDA device cannot be used ({reason})"
        return f"PyTorch finds no CUDA device here ({reason})"
    return "PyTorch finds no CUDA device here"


def _select(device: int | None) -> None:
    import torch

    if device is None:
        return
    cards = torch.cuda.device_count()
    if not 0 <= device < cards:
        raise DeviceError(device, cards)
    torch.cuda.set_device(device)


def _mixed_cuda() -> str | None:
    """Two major versions of CUDA in one process, whose libraries would take each other's place."""
    import cupy
    import torch

    ours = str(torch.version.cuda or "").partition(".")[0]
    other = str(cupy.cuda.runtime.runtimeGetVersion() // 1000)
    if ours in {"", other}:
        return None
    return f"PyTorch is built for CUDA {ours} and CuPy for CUDA {other}"


def _faiss_has_gpu() -> bool:
    import faiss

    return hasattr(faiss, "StandardGpuResources")


def make(memory_budget: int | None = None, device: int | None = None) -> tuple[Engine, str]:
    """The CUDA engine for a card, and one line on it.

    The card becomes the current one of this thread, for PyTorch and CuPy alike.

    Parameters
    ----------
    memory_budget : int or None
        Bytes of its memory to stay below; None for nine tenths of what is free.
    device : int or None
        Which card, counted from 0 as CUDA does; None for PyTorch's current one.

    Raises
    ------
    EngineUnavailableError
        Where there is no card that will do, or a library is missing.
    MemoryBudgetError
        For a budget that cannot be kept.
    DeviceError
        For a number that is no card's.
    """
    missing = _why_not(device)
    if missing is not None:
        raise EngineUnavailableError("cuda", missing)
    import cupy as cp
    import torch

    from gpu_coldstart.engine.cuda.engine import CudaEngine, PascalEngine

    # CuPy may be linked with a CUDA runtime of its own, to which PyTorch's choice is unknown.
    cp.cuda.Device(torch.cuda.current_device()).use()
    capability = torch.cuda.get_device_capability()
    what = f"{torch.cuda.get_device_name()}, compute capability {_dotted(capability)}"
    cards = torch.cuda.device_count()
    if cards > 1:
        what += f", GPU {torch.cuda.current_device()} of 0 to {cards - 1}"
    if capability >= _OLDEST_FOR_RAPIDS:
        return CudaEngine(memory_budget), f"engine cuda: {what}"
    return PascalEngine(memory_budget), (
        f"engine cuda: {what}; RAPIDS and faiss-gpu need {_dotted(_OLDEST_FOR_RAPIDS)}, so "
        "reading runs on the CPU"
    )


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
