"""The stand-in for ``cupy.random``: what its generators have, and no more."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tests.rehearsal.cupy_array import host_of, wrap
from tests.rehearsal.record import recorded

__all__ = ["make"]

_FLOATS = (np.dtype("float32"), np.dtype("float64"))


class Generator:
    """``cupy.random.Generator``; it has neither ``permutation`` nor ``choice`` nor ``normal``."""

    def __init__(self, seed: Any):
        if seed is not None and not isinstance(seed, int | np.integer):
            raise TypeError("a seed is a host integer")
        self._rng = np.random.default_rng(seed)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return self._drawn(self._rng.standard_normal, size, dtype, out)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return self._drawn(self._rng.random, size, dtype, out)

    def integers(
        self,
        low: int,
        high: int | None = None,
        size: Any = None,
        dtype: Any = np.int64,
        endpoint: bool = False,
    ) -> Any:
        return wrap(self._rng.integers(low, high, size, dtype, endpoint))

    def uniform(
        self, low: float = 0.0, high: float = 1.0, size: Any = None, dtype: Any = np.float64
    ) -> Any:
        return wrap(np.asarray(self._rng.uniform(low, high, size)).astype(dtype))

    @staticmethod
    def _drawn(draw: Any, size: Any, dtype: Any, out: Any) -> Any:
        if np.dtype(dtype) not in _FLOATS:
            raise TypeError(f"Invalid dtype {dtype}")
        if out is None:
            return wrap(draw(size, dtype))
        draw(size, dtype, host_of(out))
        return out


class RandomState:
    """``cupy.random.RandomState``."""

    def __init__(self, seed: Any = None, method: Any = None):
        self._rng = np.random.default_rng(seed)

    def standard_normal(self, size: Any = None, dtype: Any = float) -> Any:
        return wrap(np.asarray(self._rng.standard_normal(size)).astype(dtype))

    def random_sample(self, size: Any = None, dtype: Any = float) -> Any:
        return wrap(np.asarray(self._rng.random(size)).astype(dtype))

    def randint(self, low: int, high: int | None = None, size: Any = None, dtype: Any = int) -> Any:
        return wrap(self._rng.integers(low, high, size, dtype))

    def permutation(self, a: Any) -> Any:
        return wrap(self._rng.permutation(a if isinstance(a, int) else host_of(a)))

    def shuffle(self, a: Any) -> None:
        self._rng.shuffle(host_of(a))


for _kind in (Generator, RandomState):
    for _name in [name for name in vars(_kind) if not name.startswith("_")]:
        _method = recorded(f"cupy.random.{_kind.__name__}.{_name}", vars(_kind)[_name], method=True)
        setattr(_kind, _name, _method)


def make() -> ModuleType:
    """The module ``cupy.random``."""
    module = ModuleType("cupy.random")
    found: Any = module
    found.Generator, found.RandomState = Generator, RandomState
    found.default_rng = recorded("cupy.random.default_rng", lambda seed=None: Generator(seed))
    return module
