"""Own loops on the CPU, compiled by Numba where no library has them fast: see ``kernels/`` for the
GPU's.

A compiled function takes and fills NumPy arrays, holds no lock while it runs, and works through
its rows on one thread, so that :func:`~gpu_coldstart.engine.cpu.threads.over_rows` can give each
thread some.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

from gpu_coldstart.engine.base import HostArray

__all__ = [
    "add_scaled",
    "caches",
    "compiled",
    "compiled_strictly",
    "copy_into",
    "dot",
    "inlined",
    "squared_distance",
]

_log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., object])

_places: set[Path] = set()
"""Directories of the machine code of all functions so far."""

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
    compiled: Any = numba.njit(nogil=True, **options)(function)
    with suppress(RuntimeError):  # there is no place to keep it: neither here nor elsewhere
        compiled._cache = _Kept(function)  # what cache=True does, but for the class
    return cast("_Function", compiled)


def caches() -> tuple[Path, ...]:
    """Directories in which the machine code of the functions imported so far is kept."""
    return tuple(sorted(_places))


# Numba comes without annotations, so that strict mypy takes its classes for Any.
class _Kept(FunctionCache):  # type: ignore[misc]
    """Machine code on disk that is compiled again where it is damaged, not run and not an error."""

    def __init__(self, function: Callable[..., object]):
        super().__init__(function)
        self._cache_file = _Files(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )
        _places.add(Path(self._cache_path))

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The kept code, or None where there is none that is whole."""
        try:
            return super().load_overload(signature, context)
        except Exception as error:  # what unpickling raises has no bounds
            _log.info("%s: compiled again, as what was kept is damaged (%r)", self._name, error)
            try:
                self.flush()
            except OSError:
                self.disable()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep code, where there is room for it."""
        try:
            super().save_overload(signature, data)
        except OSError as error:
            _log.info("%s: the compiled code cannot be kept (%s)", self._name, error)


# Numba comes without annotations, so that strict mypy takes its classes for Any.
class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Machine code with its SHA-256 before it: Numba runs whatever a file holds."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:
            digest, content = file.read(hashlib.sha256().digest_size), file.read()
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("the SHA-256 of the file is another")
        return pickle.loads(content)


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
