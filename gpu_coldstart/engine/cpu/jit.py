"""Own loops on the CPU, compiled by Numba where no library has them fast: see ``kernels/`` for the
GPU's.

A compiled function takes and fills NumPy arrays, holds no lock while it runs, and works through
its rows on one thread, so that :func:`~gpu_coldstart.engine.cpu.threads.over_rows` can give each
thread some.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from gpu_coldstart.engine.base import HostArray

__all__ = [
    "add_scaled",
    "compiled",
    "compiled_strictly",
    "copy_into",
    "dot",
    "inlined",
    "squared_distance",
]

_Function = TypeVar("_Function", bound=Callable[..., object])

_MATH = {"reassoc", "contract", "nsz", "arcp"}
"""What lets sums run over the lanes of a vector register. NaN and infinity stay what they are."""


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call, and keep the machine code beside the module.

    Sums inside it are in an order that the compiler chose, the same in every call.

    Examples
    --------
    >>> import numpy as np
    >>> @compiled
    ... def total(values):
    ...     total = 0.0
    ...     for value in values:
    ...         total += value
    ...     return total
    >>> total(np.arange(5.0))
    10.0
    """
    return _compiled(function, fastmath=_MATH)


def compiled_strictly(function: _Function) -> _Function:
    """The same, with every sum in the order in which it is written, each step rounded."""
    return _compiled(function)


def _compiled(function: _Function, **options: object) -> _Function:
    try:
        compiled: _Function = numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # there is no place to keep it: neither here nor in the user's cache
        compiled = numba.njit(nogil=True, **options)(function)
    return compiled


def inlined(function: _Function) -> _Function:
    """Make a function part of each compiled one that calls it, as loops over few numbers must be.

    No compiled function may call another: which of two copies of it then runs, and so in what order
    it sums, depends on whether the machine code was kept or is new.
    """
    compiled: _Function = numba.njit(nogil=True, fastmath=_MATH, inline="always")(function)
    return compiled


@inlined
def dot(a: HostArray, b: HostArray) -> np.float32:
    """Inner product of two vectors of float32."""
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@inlined
def squared_distance(a: HostArray, b: HostArray) -> np.float32:
    """Of two vectors of float32."""
    total = np.float32(0)
    for j in range(len(a)):
        total += (a[j] - b[j]) * (a[j] - b[j])
    return total


@inlined
def add_scaled(scale: np.floating[Any], vector: HostArray, out: HostArray) -> None:
    """``out += scale * vector``."""
    for j in range(len(out)):
        out[j] += scale * vector[j]


@inlined
def copy_into(vector: HostArray, out: HostArray) -> None:
    """``out[:] = vector``, which Numba would do by strides."""
    for j in range(len(out)):
        out[j] = vector[j]
