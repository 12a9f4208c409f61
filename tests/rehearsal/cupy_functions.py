"""The functions of the stand-in for CuPy: NumPy's, by CuPy's signatures and restrictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.rehearsal.cupy_array import Host, Ndarray, host_of, is_scalar, quiet, unwrap, wrap
from tests.rehearsal.cupy_signatures import FUNCTIONS, LINALG, UFUNCS, signature
from tests.rehearsal.record import UndefinedError, note, recorded, transfer

__all__ = ["Ufunc", "apply", "functions", "linalg", "ufuncs"]


# -- from the host, and made of nothing --


def _from_host(obj: Any, dtype: Any = None) -> Host:
    """Something of the host, copied to the device."""
    if isinstance(obj, list | tuple) and any(isinstance(item, np.ndarray) for item in obj):
        raise TypeError("a list of host arrays: put them together first")
    if type(obj).__module__.split(".")[0] == "torch":
        raise TypeError("a tensor: hand it over by from_dlpack")
    host = np.array(_fetched(obj), dtype)
    transfer("host-to-device", host.nbytes)
    return host


def _fetched(obj: Any) -> Any:
    """Lists with device scalars in them, as CuPy stacks them."""
    if isinstance(obj, list | tuple):
        return [_fetched(item) for item in obj]
    return obj._host if isinstance(obj, Ndarray) else obj


def _array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> Any:
    if not isinstance(obj, Ndarray):
        return wrap(np.array(_from_host(obj, dtype), order=order, ndmin=ndmin))
    return wrap(np.array(obj._host, dtype, copy=copy or None, order=order, ndmin=ndmin))


def _asarray(a: Any, dtype: Any = None, order: Any = None, **_: Any) -> Any:
    if isinstance(a, Ndarray):
        same = dtype is None or np.dtype(dtype) == a.dtype
        return a if same and order is None else wrap(np.asarray(a._host, dtype, order))
    return wrap(np.asarray(_from_host(a, dtype), order=order))


def _contiguous(function: Any) -> Callable[..., Any]:
    return lambda a, dtype=None: wrap(
        function(a._host if isinstance(a, Ndarray) else _from_host(a), dtype)
    )


def _no_arrays(name: str) -> Callable[..., Any]:
    """A function of sizes, which must be host integers: a device scalar would be fetched."""
    function = getattr(np, name)

    def made(*arguments: Any, **options: Any) -> Any:
        for value in (*arguments, *options.values()):
            for item in value if isinstance(value, tuple | list) else (value,):
                if isinstance(item, Ndarray):
                    raise TypeError(f"cupy.{name} wants sizes of the host")
        return wrap(function(*arguments, **options))

    return made


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C") -> Any:
    value = unwrap(fill_value)
    if not is_scalar(value) and not isinstance(fill_value, Ndarray):
        raise TypeError(f"Unsupported type {type(fill_value)}")
    return wrap(np.full(shape, value, dtype, order))


# -- with CuPy's own restrictions --


def _stable(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def ordered(a: Any, axis: Any = -1, kind: Any = None) -> Any:
        if kind not in {None, "stable"}:
            raise ValueError("kind can only be None or 'stable'")
        return wrap(function(host_of(a), axis, kind="stable"))

    return ordered


def _lexsort(keys: Any) -> Any:
    host = host_of(keys)
    if host.ndim != 2:
        raise NotImplementedError("lexsort takes one array of two axes")
    return wrap(np.lexsort(host))


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if not isinstance(repeats, int | np.integer) and not isinstance(repeats, list | tuple):
        raise ValueError("repeats is a host integer or a list of them; CuPy 13 takes no array")
    return wrap(np.repeat(host_of(a), repeats, axis))


def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    host = host_of(a)
    if not isinstance(v, Ndarray | int | float | complex):
        raise NotImplementedError("Only python scalars or ndarrays are supported for v")
    ordered = host if sorter is None else host[host_of(sorter)]
    if host.ndim == 1 and np.any(ordered[1:] < ordered[:-1]):
        raise UndefinedError("a does not ascend: the result is undefined")
    return wrap(np.searchsorted(host, unwrap(v), side, None if sorter is None else unwrap(sorter)))


def _bincount(x: Any, weights: Any = None, minlength: Any = None) -> Any:
    host = host_of(x)
    if weights is not None and host.shape != host_of(weights).shape:
        raise ValueError("The weights and list don't have the same length.")
    if host.size == 0:  # of integers even where weights are given
        return wrap(np.zeros(minlength or 0, np.intp))
    return wrap(np.bincount(host, None if weights is None else host_of(weights), minlength or 0))


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        return wrap(np.nonzero(host_of(condition)))
    for value in (x, y):
        if not is_scalar(value):
            host_of(value)
    return wrap(np.where(unwrap(condition), unwrap(x), unwrap(y)))


def _take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    if not is_scalar(indices):
        host_of(indices)
    try:
        return wrap(np.take(host_of(a), unwrap(indices), axis))
    except IndexError as error:
        raise UndefinedError(f"{error} (CuPy would wrap around without a word)") from error


def _take_along_axis(a: Any, indices: Any, axis: Any) -> Any:
    try:
        return wrap(np.take_along_axis(host_of(a), host_of(indices), axis))
    except IndexError as error:
        raise UndefinedError(f"{error} (CuPy would wrap around without a word)") from error


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    if is_scalar(values):
        values = wrap(_from_host(values))
    return wrap(np.append(host_of(arr), host_of(values), axis))


def _prod(name: str) -> Callable[..., Any]:
    return lambda a, axis=None, dtype=None, out=None, keepdims=False: _numpy(name)(
        a, axis=axis, dtype=dtype, out=out, keepdims=bool(keepdims)
    )


def _tile(A: Any, reps: Any) -> Any:  # noqa: N803 - its name in CuPy
    return wrap(np.tile(host_of(A), unwrap(reps)))


_NEW = {"arange", "empty", "eye", "indices", "linspace", "ones", "zeros"}

_OWN: dict[str, Callable[..., Any]] = {
    "append": _append,
    "argsort": _stable("argsort"),
    "array": _array,
    "asarray": _asarray,
    "ascontiguousarray": _contiguous(lambda a, dtype: np.ascontiguousarray(a, dtype)),
    "asfortranarray": _contiguous(lambda a, dtype: np.asfortranarray(a, dtype)),
    "bincount": _bincount,
    "full": _full,
    "lexsort": _lexsort,
    "prod": _prod("prod"),
    "repeat": _repeat,
    "searchsorted": _searchsorted,
    "sort": _stable("sort"),
    "take": _take,
    "take_along_axis": _take_along_axis,
    "tile": _tile,
    "where": _where,
}


def _numpy(name: str) -> Callable[..., Any]:
    """NumPy's function of a name, on wrappers."""
    function = getattr(np, name)

    def called(*arguments: Any, **options: Any) -> Any:
        if not any(isinstance(item, Ndarray) for item in _flat((*arguments, *options.values()))):
            raise TypeError(f"cupy.{name} without an array of CuPy")
        out = options.get("out")
        if out is None:
            options.pop("out", None)
        options = {key: unwrap(value) for key, value in options.items()}
        found = quiet(function, *unwrap(arguments), **options)
        return out if out is not None else wrap(found)

    return called


def _flat(values: Any) -> list[Any]:
    found = []
    for value in values:
        found += _flat(value) if isinstance(value, list | tuple) else [value]
    return found


def _implementation(name: str) -> Callable[..., Any]:
    if name in _OWN:
        return _OWN[name]
    return _no_arrays(name) if name in _NEW else _numpy(name)


_SIGNATURES = {name: signature(text) for name, text in (FUNCTIONS | LINALG).items()}
_IMPLEMENTATIONS = {name: _implementation(name) for name in FUNCTIONS if hasattr(np, name)}


def apply(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call a function of the allow-list, by its signature."""
    _SIGNATURES[name].bind(*arguments, **options)
    return _IMPLEMENTATIONS[name](*arguments, **options)


def _function(name: str) -> Any:
    def function(*arguments: Any, **options: Any) -> Any:
        return apply(name, arguments, options)

    return recorded(f"cupy.{name}", function)


# -- elementwise functions --


class Ufunc:
    """A function applied to each element; ``reduceat`` and its like are left out on purpose."""

    def __init__(self, name: str):
        self.name = name
        self.nin = UFUNCS[name]
        self._function = getattr(np, name)

    def __call__(self, *arguments: Any, out: Any = None, dtype: Any = None) -> Any:
        keywords = {"out": out, "dtype": dtype}
        note(f"cupy.{self.name}", arguments, {k: v for k, v in keywords.items() if v is not None})
        if not self.nin <= len(arguments) <= self.nin + 1:
            raise TypeError(f"Wrong number of arguments for {self.name}")
        if len(arguments) > self.nin:
            *arguments, out = arguments  # type: ignore[assignment]
        plain = [value if is_scalar(value) else host_of(value) for value in arguments]
        if dtype is not None:
            plain = [np.asarray(value).astype(dtype) for value in plain]
        if out is None:
            return wrap(quiet(self._function, *plain))
        quiet(self._function, *plain, out=host_of(out))
        return out


# -- linear algebra --


def _unchecked(function: Any, *arguments: Any, **options: Any) -> Any:
    """Linear algebra; CuPy does not look whether a Cholesky decomposition came to its end."""
    try:
        return function(*arguments, **options)
    except np.linalg.LinAlgError:
        if function is not np.linalg.cholesky:
            raise
        return np.tril(arguments[0])


def _linear(name: str) -> Any:
    function = getattr(np.linalg, name)

    def solved(*arguments: Any, **options: Any) -> Any:
        _SIGNATURES[name].bind(*arguments, **options)
        for value in arguments[: 2 if name == "solve" else 1]:
            if host_of(value).dtype.kind != "f" and name != "norm":
                raise TypeError("cuSOLVER takes floating-point numbers")
        found = _unchecked(function, *unwrap(arguments), **options)
        return wrap(tuple(found) if isinstance(found, tuple) else found)

    return recorded(f"cupy.linalg.{name}", solved)


def functions() -> dict[str, Any]:
    """Every function of the module."""
    return {name: _function(name) for name in _IMPLEMENTATIONS}


def ufuncs() -> dict[str, Any]:
    """Every elementwise function of the module."""
    return {name: Ufunc(name) for name in UFUNCS if hasattr(np, name)}


def linalg() -> dict[str, Any]:
    """Every function of ``cupy.linalg``."""
    return {name: _linear(name) for name in LINALG}
