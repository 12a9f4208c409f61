"""The functions of ``torch.cuda`` that a rehearsal puts in place, and a stand-in for RMM."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from tests.rehearsal.record import current, lacking, recorded

__all__ = ["make_rmm", "patches"]


def _allocate(size: int, device: Any = None, stream: Any = None) -> int:
    if not isinstance(size, int) or size < 0:
        raise TypeError("a size is a host integer")
    stage = current()
    if sum(stage.allocations.values()) + size > stage.total_memory:
        raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
    pointer = max((at + length for at, length in stage.allocations.items()), default=1 << 20)
    stage.allocations[pointer] = size
    return pointer


def _delete(mem_ptr: int) -> None:
    if mem_ptr not in current().allocations:
        raise RuntimeError(f"invalid device pointer: {mem_ptr}")
    del current().allocations[mem_ptr]


def _set_fraction(fraction: float, device: Any = None) -> None:
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")


def _held(device: Any = None) -> int:
    return sum(current().allocations.values())


def _memory(device: Any = None) -> tuple[int, int]:
    total = current().total_memory
    return total - current().taken, total


def _capability(device: Any = None) -> tuple[int, int]:
    text = current().compute_capability
    return int(text[:-1]), int(text[-1])


def _select(device: int) -> None:
    if device not in range(len(current().cards)):
        raise RuntimeError("CUDA error: invalid device ordinal")
    current().selected["torch"] = device


def _name(device: int | None = None) -> str:
    return current().cards[current().selected["torch"] if device is None else device]


def _properties(device: Any = None) -> Any:
    major, minor = _capability()
    return SimpleNamespace(
        name=_name(device),
        major=major,
        minor=minor,
        total_memory=current().total_memory,
        multi_processor_count=100,
    )


class _Stream:
    cuda_stream = 0

    def synchronize(self) -> None:
        """Nothing runs on its own here."""


class _Event:
    def __init__(self, enable_timing: bool = False, blocking: bool = False):
        self._timed = enable_timing

    def record(self, stream: Any = None) -> None:
        """Nothing runs on its own here."""

    def synchronize(self) -> None:
        """Nothing runs on its own here."""

    def elapsed_time(self, end_event: Any) -> float:
        if not self._timed:
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        return 0.0


def patches() -> dict[str, Any]:
    """What to put into ``torch.cuda``, by name."""
    functions: dict[str, Callable[..., Any]] = {
        "caching_allocator_alloc": _allocate,
        "caching_allocator_delete": _delete,
        "current_device": lambda: current().selected["torch"],
        "current_stream": lambda device=None: _Stream(),
        "device_count": lambda: len(current().cards),
        "empty_cache": lambda: None,
        "get_device_capability": _capability,
        "get_device_name": _name,
        "get_device_properties": _properties,
        "init": lambda: None,
        "is_available": lambda: True,
        "is_current_stream_capturing": lambda: False,
        "max_memory_allocated": _held,
        "max_memory_reserved": _held,
        "mem_get_info": _memory,
        "memory_allocated": _held,
        "memory_reserved": _held,
        "reset_peak_memory_stats": lambda device=None: None,
        "set_device": _select,
        "set_per_process_memory_fraction": _set_fraction,
        "synchronize": lambda device=None: None,
    }
    found: dict[str, Any] = {
        name: recorded(f"torch.cuda.{name}", function) for name, function in functions.items()
    }
    return found | {"Event": _Event, "device": lambda device: contextlib.nullcontext()}


class _RmmStream:
    """A stream of RMM's own, which is no integer."""

    def __init__(self, handle: int):
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        """Version of the protocol, and the handle."""
        return 0, self._handle


class CallbackMemoryResource:
    """``rmm.mr.CallbackMemoryResource``."""

    def __init__(self, allocate_func: Any, deallocate_func: Any):
        self._allocate, self._deallocate = allocate_func, deallocate_func

    def try_out(self) -> None:
        """Take and give back a block and an empty one, and ask for too much, as RMM would."""
        for size, handle in ((256, 0), (0, 2), (512, 0x5000)):
            stream = _RmmStream(handle)
            pointer = self._allocate(size, stream)
            if not isinstance(pointer, int):
                raise TypeError("an integer is required")
            self._deallocate(pointer, size, stream)
        much = current().total_memory + 1
        lacking("rmm.mr.CallbackMemoryResource", lambda: self._allocate(much, _RmmStream(0)))


class CudaMemoryResource:
    """``rmm.mr.CudaMemoryResource``: each block from the driver."""


def _set_resource(mr: Any) -> None:
    if not isinstance(mr, CallbackMemoryResource | CudaMemoryResource):
        raise TypeError("Argument 'mr' has incorrect type")
    current().resource = mr
    if isinstance(mr, CallbackMemoryResource):
        mr.try_out()


def make_rmm() -> dict[str, ModuleType]:
    """The modules, by name."""
    module: Any = ModuleType("rmm")
    module.__version__ = "26.06.00"
    module.mr = ModuleType("rmm.mr")
    name = "rmm.mr.CallbackMemoryResource"
    module.mr.CallbackMemoryResource = recorded(name, CallbackMemoryResource)
    name = "rmm.mr.CudaMemoryResource"
    module.mr.CudaMemoryResource = recorded(name, CudaMemoryResource)
    name = "rmm.mr.set_current_device_resource"
    module.mr.set_current_device_resource = recorded(name, _set_resource)
    return {"rmm": module, "rmm.mr": module.mr}
