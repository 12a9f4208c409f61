"""The stand-in for CuPy, put together: a module object for ``sys.modules["cupy"]``.

It holds the rules that a card would enforce, or that nothing would enforce until results are
wrong. That code runs on it proves nothing about a GPU; it finds mistakes early.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

import tests.rehearsal.cupy_methods  # noqa: F401 - gives the arrays their methods
from tests.rehearsal import cupy_cuda, cupy_functions, cupy_random
from tests.rehearsal.cupy_array import Host, Ndarray, unwrap, wrap
from tests.rehearsal.record import recorded

__all__ = ["make"]

_TYPES = """
bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64
complex64 complex128 intp dtype iinfo finfo integer floating nan inf pi e newaxis
"""

_OF_TYPES = ("can_cast", "promote_types", "issubdtype", "result_type", "shape", "ndim")
"""Functions whose results are not arrays."""


def _asnumpy(
    a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True
) -> Host:
    if not isinstance(a, Ndarray):
        return np.asarray(a, order=order)
    found: Host = Ndarray.get(a, order=order, out=out)  # type: ignore[attr-defined]
    return found


def _from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> Any:
    if isinstance(array, np.ndarray):
        raise BufferError("only memory of the device can be shared")
    if isinstance(array, Ndarray):
        return wrap(array._host)
    if getattr(array, "requires_grad", False):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    # By way of torch's own bridge where it has one: NumPy's hands out what cannot be written to.
    return wrap(array.numpy() if hasattr(array, "numpy") else np.from_dlpack(array))


def _of_types(name: str) -> Any:
    function = getattr(np, name)
    return recorded(f"cupy.{name}", lambda *arguments: function(*(unwrap(a) for a in arguments)))


def _size(a: Any, axis: Any = None) -> int:
    return int(np.size(unwrap(a), axis))


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    return wrap(np.array_equal(unwrap(a1), unwrap(a2), equal_nan))


def make() -> dict[str, ModuleType]:
    """The modules, by name."""
    module = ModuleType("cupy")
    found: Any = module
    for name in _TYPES.split():
        setattr(module, name, getattr(np, name))
    for name in _OF_TYPES:
        setattr(module, name, _of_types(name))
    for table in (cupy_functions.functions(), cupy_functions.ufuncs()):
        for name, function in table.items():
            setattr(module, name, function)
    pool = cupy_cuda.MemoryPool()
    found.__version__ = "14.2.0"
    found.ndarray = Ndarray
    found.RawModule = cupy_cuda.RawModule
    found.asnumpy = recorded("cupy.asnumpy", _asnumpy)
    found.from_dlpack = recorded("cupy.from_dlpack", _from_dlpack)
    found.size = recorded("cupy.size", _size)
    found.array_equal = recorded("cupy.array_equal", _array_equal)
    found.get_default_memory_pool = recorded("cupy.get_default_memory_pool", lambda: pool)
    found.is_available = recorded("cupy.is_available", lambda: True)
    found.cuda = cupy_cuda.make(pool)
    found.random = cupy_random.make()
    found.linalg = ModuleType("cupy.linalg")
    for name, function in cupy_functions.linalg().items():
        setattr(found.linalg, name, function)
    return {
        "cupy": module,
        "cupy.cuda": found.cuda,
        "cupy.cuda.memory": found.cuda.memory,
        "cupy.cuda.runtime": found.cuda.runtime,
        "cupy.linalg": found.linalg,
        "cupy.random": found.random,
    }
