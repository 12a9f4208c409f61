"""The methods of the stand-in for ``cupy.ndarray``; importing this gives them to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tests.rehearsal.cupy_array import Host, Ndarray, unwrap, wrap
from tests.rehearsal.cupy_functions import apply
from tests.rehearsal.cupy_signatures import METHODS, signature
from tests.rehearsal.record import UndefinedError, recorded, transfer

__all__: list[str] = []


def _get(self: Ndarray, stream: Any = None, order: Any = "C", out: Any = None, **_: Any) -> Host:
    transfer("device-to-host", self._host.nbytes)
    if out is None:
        return self._host.copy(order)
    out[...] = self._host
    return cast("Host", out)


def _tolist(self: Ndarray) -> Any:
    transfer("device-to-host" if self._host.ndim else "scalar", self._host.nbytes)
    return self._host.tolist()


def _set(self: Ndarray, arr: Host, stream: Any = None) -> None:
    if arr.shape != self.shape or arr.dtype != self.dtype:
        raise ValueError("Shape or dtype mismatch")
    transfer("host-to-device", arr.nbytes)
    self._host[...] = arr


def _astype(
    self: Ndarray,
    dtype: Any,
    order: Any = "K",
    casting: Any = None,
    subok: Any = None,
    copy: bool = True,
) -> Any:
    wanted = np.dtype(dtype)
    if self._host.dtype.kind == "f" and wanted.kind in "iu" and self._host.size:
        limits = np.iinfo(wanted)
        low, high = self._host.min(), self._host.max()
        if not (limits.min <= low and high <= limits.max):  # also where there is a NaN
            raise UndefinedError(f"values from {low} to {high} as {wanted}: undefined on a GPU")
    if not copy and wanted == self._host.dtype:
        return self
    return wrap(self._host.astype(wanted, order, casting or "unsafe"))


def _view(self: Ndarray, dtype: Any = None, type: Any = None) -> Any:
    return wrap(self._host.view() if dtype is None else self._host.view(np.dtype(dtype)))


def _in_module(name: str) -> Callable[..., Any]:
    """A method that the module has as a function of the same rules."""

    def method(self: Ndarray, *arguments: Any, **options: Any) -> Any:
        return apply(name, (self, *arguments), options)

    return method


def _sort(self: Ndarray, axis: int = -1, kind: Any = None) -> None:
    if kind not in {None, "stable"}:
        raise ValueError("kind can only be None or 'stable'")
    self._host.sort(axis, kind="stable")


def _reshape(self: Ndarray, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    return wrap(self._host.reshape(*unwrap(shape), order=order))


def _transpose(self: Ndarray, *axes: Any) -> Any:
    return wrap(self._host.transpose(*axes))


def _fill(self: Ndarray, value: Any) -> None:
    self[...] = value


def _clip(self: Ndarray, min: Any = None, max: Any = None, out: Any = None) -> Any:
    return apply("clip", (self, min, max), {} if out is None else {"out": out})


_OWN: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "clip": _clip,
    "fill": _fill,
    "get": _get,
    "item": lambda self: self._scalar(),
    "reshape": _reshape,
    "set": _set,
    "sort": _sort,
    "tobytes": lambda self, order="C": _get(self, order=order).tobytes(),
    "tolist": _tolist,
    "transpose": _transpose,
    "view": _view,
}
_AS_NUMPY = {"copy", "diagonal", "flatten", "partition", "ravel"}


def _numpy(name: str) -> Callable[..., Any]:
    def method(self: Ndarray, *arguments: Any, **options: Any) -> Any:
        found = getattr(self._host, name)(*unwrap(arguments), **options)
        return None if found is None else wrap(found)

    return method


def _bound(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    wanted = signature(METHODS[name])

    def method(self: Ndarray, *arguments: Any, **options: Any) -> Any:
        wanted.bind(self, *arguments, **options)
        return function(self, *arguments, **options)

    return cast("Callable[..., Any]", recorded(f"cupy.ndarray.{name}", method, method=True))


for _name in METHODS:
    _function = _OWN.get(_name) or (_numpy(_name) if _name in _AS_NUMPY else _in_module(_name))
    setattr(Ndarray, _name, _bound(_name, _function))
