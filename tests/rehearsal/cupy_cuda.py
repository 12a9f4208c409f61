"""The stand-ins for ``cupy.cuda`` and for kernels of our own, which run on the host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.rehearsal.cupy_array import Ndarray, OutOfMemoryError
from tests.rehearsal.record import (
    cupy_card,
    current,
    lacking,
    note,
    recorded,
    select_cupy_card,
)

__all__ = ["RawModule", "make"]

_MOST_SHARED = 48 << 10
"""Bytes of shared memory a block may have without being asked for more beforehand."""


class Device:
    """``cupy.cuda.Device``."""

    def __init__(self, device: int | None = None):
        self.id = cupy_card() if device is None else device
        if self.id not in range(len(current().cards)):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._before: list[int] = []

    compute_capability = property(lambda _self: current().compute_capability)
    mem_info = property(lambda _self: _memory())
    pci_bus_id = "0000:00:00.0"

    @property
    def attributes(self) -> dict[str, int]:
        """Some of what the driver tells."""
        major, minor = _capability()
        return {
            "ComputeCapabilityMajor": major,
            "ComputeCapabilityMinor": minor,
            "MaxSharedMemoryPerBlock": _MOST_SHARED,
            "MaxThreadsPerBlock": 1024,
            "MultiProcessorCount": 100,
            "WarpSize": 32,
        }

    def use(self) -> Device:
        note("cupy.cuda.Device.use", (), {})
        select_cupy_card(self.id)
        return self

    def synchronize(self) -> None:
        """Nothing runs on its own here."""

    def __enter__(self) -> Device:
        self._before.append(cupy_card())
        select_cupy_card(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        select_cupy_card(self._before.pop())


class CUDARuntimeError(RuntimeError):
    """``cupy.cuda.runtime.CUDARuntimeError``."""


class Stream:
    """``cupy.cuda.Stream``."""

    null: Stream

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: Any = None,
    ):
        self.ptr = 0
        self.done = True

    def use(self) -> Stream:
        return self

    def synchronize(self) -> None:
        """Nothing runs on its own here."""

    def record(self, event: Any = None) -> Any:
        return event or Event()

    def wait_event(self, event: Any) -> None:
        """Nothing runs on its own here."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        return None


Stream.null = Stream(null=True)


class ExternalStream(Stream):
    """``cupy.cuda.ExternalStream``."""

    def __init__(self, ptr: int, device_id: int = -1):
        super().__init__()
        self.ptr = int(ptr)


class Event:
    """``cupy.cuda.Event``."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ):
        self.done = True
        self.disable_timing = disable_timing

    def record(self, stream: Any = None) -> None:
        """Nothing runs on its own here."""

    def synchronize(self) -> None:
        """Nothing runs on its own here."""


def _elapsed(start_event: Event, end_event: Event) -> float:
    if start_event.disable_timing or end_event.disable_timing:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 0.0


class PythonFunctionAllocator:
    """``cupy.cuda.PythonFunctionAllocator``."""

    def __init__(self, malloc_func: Callable[..., int], free_func: Callable[..., None]):
        note("cupy.cuda.PythonFunctionAllocator", (malloc_func, free_func), {})
        self._malloc, self._free = malloc_func, free_func

    def malloc(self, size: int) -> Any:
        """A block, which is given back when forgotten."""
        return _Block(self._malloc(size, 0), size, self._free)


class _Block:
    def __init__(self, pointer: int, size: int, free: Callable[..., None]):
        if not isinstance(pointer, int):
            raise TypeError("an integer is required")
        self.ptr, self.size, self._free = pointer, size, free

    def __del__(self) -> None:
        if hasattr(self, "_free"):
            self._free(self.ptr, 0)


def _set_allocator(allocator: Any = None) -> None:
    """Ask the new allocator for a block, for none and for too much, and give back what came."""
    current().allocator = allocator
    if allocator is not None:
        for size in (512, 0):
            block = allocator(size)
            del block
        lacking("cupy.cuda.set_allocator", lambda: allocator(current().total_memory + 1))


class UnownedMemory:
    """``cupy.cuda.UnownedMemory``: a block that its owner gives back."""

    def __init__(self, ptr: int, size: int, owner: object, device_id: int = -1):
        note("cupy.cuda.UnownedMemory", (ptr, size, owner, device_id), {})
        if not all(isinstance(number, int) for number in (ptr, size, device_id)):
            raise TypeError("an integer is required")
        self.ptr, self.size, self._owner = ptr, size, owner


class MemoryPointer:
    """``cupy.cuda.MemoryPointer``."""

    def __init__(self, mem: UnownedMemory, offset: int):
        note("cupy.cuda.MemoryPointer", (mem, offset), {})
        self.mem, self.ptr = mem, mem.ptr + offset


class MemoryPool:
    """``cupy.cuda.MemoryPool``."""

    def __init__(self, allocator: Any = None):
        self._limit = 0

    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        """It holds none."""

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self._limit = size or 0

    def get_limit(self) -> int:
        return self._limit

    def malloc(self, size: int) -> Any:
        return _Block(0, size, lambda *_: None)


class RawFunction:
    """A compiled kernel: ``cupy.RawKernel`` as a module hands it out."""

    def __init__(self, function: Any):
        self._function = function
        self._most_shared = _MOST_SHARED

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """More is refused at a launch; to be raised beforehand."""
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self._most_shared = size
        self._function.max_dynamic_shared_size_bytes = size

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        _check_launch(grid, block)
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDARuntimeError(f"cudaErrorInvalidValue: {shared_mem} bytes of shared memory")
        plain = [_argument(place, value) for place, value in enumerate(args)]
        self._function(grid, block, tuple(plain), shared_mem=shared_mem)


def _check_launch(grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    for shape, limits, threads in (
        (grid, (2**31 - 1, 65535, 65535), 2**63),
        (block, (1024, 1024, 64), 1024),
    ):
        if not isinstance(shape, tuple) or not 1 <= len(shape) <= 3:
            raise TypeError("grid and block are tuples of one to three integers")
        fits = all(0 < size <= most for size, most in zip(shape, limits, strict=False))
        if not fits or int(np.prod(shape)) > threads:
            raise CUDARuntimeError(f"cudaErrorInvalidConfiguration: {grid}, {block}")


def _argument(place: int, value: Any) -> Any:
    if isinstance(value, Ndarray):
        return value._host
    if isinstance(value, np.generic):
        return value
    raise TypeError(
        f"argument {place} is of {type(value)}: CuPy would pass 64 bits whatever the kernel "
        "declares; hand over a NumPy scalar or an array of CuPy"
    )


class RawModule:
    """``cupy.RawModule``: the source compiled for the host."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Any = None,
        jitify: Any = None,
    ):
        note("cupy.RawModule", (), {"code": code, "options": options})
        if code is None or not isinstance(options, tuple) or backend != "nvrtc":
            raise TypeError("give source code, a tuple of options, and no backend but nvrtc")
        from tests.kernels.host import HostModule

        self._module = HostModule(code, options)
        self._module.launch_shape = current().launch_shape

    def get_function(self, name: str) -> RawFunction:
        """A kernel by name."""
        note("cupy.RawModule.get_function", (name,), {})
        return RawFunction(self._module.get_function(name))


def _memory() -> tuple[int, int]:
    total = current().total_memory
    return total - current().taken, total


def _capability() -> tuple[int, int]:
    text = current().compute_capability
    return int(text[:-1]), int(text[-1])


def _properties(device: int) -> dict[str, Any]:
    major, minor = _capability()
    return {
        "name": b"rehearsed card",
        "major": major,
        "minor": minor,
        "totalGlobalMem": current().total_memory,
        "multiProcessorCount": 100,
        "sharedMemPerBlock": _MOST_SHARED,
        "maxThreadsPerBlock": 1024,
        "warpSize": 32,
    }


def _version() -> int:
    major = current().cupy_cuda or int(str(torch.version.cuda or "13").partition(".")[0])
    return 1000 * major


def _runtime() -> ModuleType:
    module = ModuleType("cupy.cuda.runtime")
    functions: dict[str, Callable[..., Any]] = {
        "deviceSynchronize": lambda: None,
        "driverGetVersion": lambda: 13000,
        "getDevice": cupy_card,
        "getDeviceCount": lambda: len(current().cards),
        "getDeviceProperties": _properties,
        "memGetInfo": _memory,
        "runtimeGetVersion": _version,
        "setDevice": lambda device: None,
        "streamSynchronize": lambda stream: None,
    }
    for name, function in functions.items():
        setattr(module, name, recorded(f"cupy.cuda.runtime.{name}", function))
    module.CUDARuntimeError = CUDARuntimeError  # type: ignore[attr-defined]
    module.is_hip = False  # type: ignore[attr-defined]
    return module


@contextmanager
def _profile() -> Any:
    yield


def make(pool: MemoryPool) -> ModuleType:
    """The module ``cupy.cuda``."""
    module = ModuleType("cupy.cuda")
    classes = (
        Device,
        Stream,
        ExternalStream,
        Event,
        MemoryPointer,
        MemoryPool,
        PythonFunctionAllocator,
        UnownedMemory,
    )
    for kind in classes:
        setattr(module, kind.__name__, kind)
    functions: dict[str, Callable[..., Any]] = {
        "get_current_stream": lambda device_id=-1: Stream.null,
        "get_device_id": cupy_card,
        "get_elapsed_time": _elapsed,
        "is_available": lambda: True,
        "profile": _profile,
        "set_allocator": _set_allocator,
    }
    for name, function in functions.items():
        setattr(module, name, recorded(f"cupy.cuda.{name}", function))
    module.runtime = _runtime()  # type: ignore[attr-defined]
    module.memory = ModuleType("cupy.cuda.memory")  # type: ignore[attr-defined]
    module.memory.OutOfMemoryError = OutOfMemoryError
    module.nvtx = SimpleNamespace(  # type: ignore[attr-defined]
        RangePush=recorded("cupy.cuda.nvtx.RangePush", lambda message, id_color=-1: None),
        RangePop=recorded("cupy.cuda.nvtx.RangePop", lambda: None),
    )
    return module
