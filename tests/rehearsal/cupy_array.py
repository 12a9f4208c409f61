"""The stand-in for ``cupy.ndarray``: a NumPy array behind CuPy's rules.

It wraps instead of inheriting, so that nothing NumPy-like slips through: what CuPy refuses, what
it would move between host and device, and what it leaves undefined either raises or is written
down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tests.rehearsal.record import UndefinedError, cupy_card, current, transfer

__all__ = ["Host", "Ndarray", "OutOfMemoryError", "host_of", "is_scalar", "quiet", "unwrap", "wrap"]

Host = npt.NDArray[Any]


class OutOfMemoryError(MemoryError):
    """``cupy.cuda.memory.OutOfMemoryError``."""

    def __init__(self, size: int, total: int, limit: int = 0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,})")
        self.limit = limit


def is_scalar(value: object) -> bool:
    """Whether CuPy takes a value as a scalar: of Python, or a NumPy scalar of a plain type."""
    if isinstance(value, np.generic):
        return value.dtype.kind in "biufc"
    return isinstance(value, bool | int | float | complex)


def host_of(value: object) -> Host:
    """The NumPy array behind a wrapper; anything else is refused as CuPy refuses it."""
    if isinstance(value, Ndarray):
        return value._host
    raise TypeError(f"Unsupported type {type(value)}")


def unwrap(value: Any) -> Any:
    """Wrappers, also inside of lists and tuples, as NumPy arrays; host arrays are refused."""
    if isinstance(value, Ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: a host array where CuPy wants its own")
    if isinstance(value, list | tuple):
        return type(value)(unwrap(item) for item in value)
    return value


def wrap(value: Any) -> Any:
    """NumPy arrays and scalars, also inside of lists and tuples, as wrappers."""
    if isinstance(value, tuple | list):
        return (
            tuple(wrap(item) for item in value) if isinstance(value, tuple) else [*map(wrap, value)]
        )
    host = np.asarray(value)
    if host.dtype.kind not in "biufc":
        raise TypeError(f"Unsupported dtype {host.dtype}")
    stage = current()
    most = stage.total_memory if stage.largest_allocation is None else stage.largest_allocation
    if host.nbytes > most:
        raise OutOfMemoryError(host.nbytes, 0)
    array = object.__new__(Ndarray)
    array._host = host
    return array


def _operand(array: Host, other: Any) -> Any:
    """The other side of an operator."""
    if isinstance(other, np.generic) and is_scalar(other):
        strong = np.result_type(array.dtype, other.dtype)
        if strong != np.result_type(array.dtype, type(other.item())(0)):
            raise UndefinedError(
                f"{array.dtype} with a NumPy scalar of {other.dtype} is {strong} in CuPy 14 only: "
                "use a Python number, or a NumPy scalar of the array's type"
            )
        return other
    return other if is_scalar(other) else host_of(other)


def _is_index(part: Any) -> bool:
    whole = isinstance(part, int | np.integer) and not isinstance(part, bool)
    if isinstance(part, slice):
        bounds = (part.start, part.stop, part.step)
        if not all(bound is None or isinstance(bound, int | np.integer) for bound in bounds):
            raise TypeError("bounds of a slice must be host integers")
        return True
    return part is None or part is Ellipsis or whole


def _key(key: Any) -> Any:
    """An index as NumPy takes it."""
    parts = []
    for part in key if isinstance(key, tuple) else (key,):
        if _is_index(part):
            parts.append(part)
            continue
        if isinstance(part, list | tuple):  # CuPy copies it to the device
            part = np.asarray(part, dtype=None if len(part) else np.int32)
            transfer("host-to-device", part.nbytes)
        elif isinstance(part, Ndarray):
            part = part._host
        else:
            raise UndefinedError(
                f"an index of {type(part)}: a host array would be copied each time"
            )
        if part.dtype.kind not in "biu":
            raise IndexError(f"arrays used as indices must be integers or bools, not {part.dtype}")
        parts.append(part)
    return tuple(parts) if isinstance(key, tuple) else parts[0]


def _arrays(key: Any) -> list[Host]:
    parts = key if isinstance(key, tuple) else (key,)
    return [part for part in parts if isinstance(part, np.ndarray)]


class _Flags:
    def __init__(self, host: Host):
        self.c_contiguous = host.flags.c_contiguous
        self.f_contiguous = host.flags.f_contiguous
        self.owndata = host.flags.owndata

    def __getitem__(self, name: str) -> bool:
        return cast("bool", getattr(self, name.lower()))


class Ndarray:
    """``cupy.ndarray``."""

    __slots__ = ("_host",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    _host: Host

    def __init__(self, shape: Any, dtype: Any = float, *, order: str = "C") -> None:
        self._host = np.empty(unwrap(shape), dtype, cast("Any", order))

    # -- what it is ----------------------------------------------------------------------------

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: _Flags(self._host))
    T = property(lambda self: wrap(self._host.T))
    real = property(lambda self: wrap(self._host.real))
    imag = property(lambda self: wrap(self._host.imag))
    device = property(lambda _self: SimpleNamespace(id=cupy_card()))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data, device_id=0))

    @property
    def base(self) -> Any:
        """The array it is a view of."""
        return None if self._host.base is None else wrap(self._host.base)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._host.ctypes.data, False),
            "strides": None if self._host.flags.c_contiguous else self.strides,
            "version": 3,
        }

    def __dlpack__(self, **options: Any) -> Any:
        return self._host.__dlpack__(**{"stream": None} | options | {"stream": None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self._host.__dlpack_device__())

    def __repr__(self) -> str:
        return f"device {self._host!r}"

    # -- to the host, and not ------------------------------------------------------------------

    def __array__(self, *_arguments: Any, **_options: Any) -> Host:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, *_rest: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on an array of CuPy: use cupy's own")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # Python asks NumPy first where a NumPy scalar stands on the left of an operator.
        by_operator = method == "__call__" and not options and len(inputs) == 2
        if by_operator and isinstance(inputs[0], np.generic):
            return wrap(quiet(ufunc, _operand(self._host, inputs[0]), self._host))
        raise TypeError(f"numpy.{ufunc.__name__} on an array of CuPy: use cupy's own")

    def _scalar(self) -> Any:
        value = self._host.item()
        transfer("scalar", self._host.nbytes)
        return value

    def __bool__(self) -> bool:
        return bool(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        if self._host.dtype.kind not in "iu":
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return int(self._scalar())

    def __matmul__(self, other: Any) -> Any:
        return wrap(np.matmul(self._host, host_of(other)))

    # -- items ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Ndarray]:
        return (self[place] for place in range(len(self._host)))

    def __contains__(self, item: object) -> bool:
        raise UndefinedError("'in' would fetch item by item")

    def __getitem__(self, key: Any) -> Any:
        return wrap(_checked(self._host, _key(key)))

    def __setitem__(self, key: Any, value: Any) -> None:
        place = _key(key)
        new = value if is_scalar(value) else host_of(value)
        target = _checked(self._host, place)
        _check_overlap(self._host if _arrays(place) else target, new)
        self._host[place] = new
        if any(part.dtype.kind != "b" for part in _arrays(place)):
            _check_same_place(self._host[place], target, new)


def _checked(host: Host, key: Any) -> Any:
    try:
        return host[key]
    except IndexError as error:
        if not _arrays(key):
            raise
        raise UndefinedError(f"{error} (CuPy would wrap around without a word)") from error


def _check_overlap(target: Any, new: Any) -> None:
    """Refuse to copy an array onto a shifted part of itself: it may be read after being written."""
    if not isinstance(new, np.ndarray) or not isinstance(target, np.ndarray):
        return
    same = new.ctypes.data == target.ctypes.data and new.strides == target.strides
    if not same and np.may_share_memory(target, new) and np.shares_memory(target, new):
        raise UndefinedError("an array copied onto an overlapping part of itself: undefined")


def _check_same_place(found: Host, target: Any, new: Any) -> None:
    """Refuse an assignment that wrote different values to the same place."""
    wanted = np.empty_like(target)
    wanted[...] = new
    same = (found == wanted) | ((found != found) & (wanted != wanted))
    if not np.all(same):
        raise UndefinedError("different values assigned to one place: CuPy promises no order")


# -- operators -------------------------------------------------------------------------------------

_BINARY: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_COMPARE: dict[str, Any] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY: dict[str, Any] = {
    "neg": np.negative,
    "pos": np.positive,
    "abs": np.absolute,
    "invert": np.invert,
}


def quiet(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call without NumPy's warnings of division by zero and the like: a GPU gives none."""
    with np.errstate(all="ignore"):
        return function(*arguments, **options)


def _binary(ufunc: Any) -> Callable[[Ndarray, Any], Any]:
    return lambda self, other: wrap(quiet(ufunc, self._host, _operand(self._host, other)))


def _reflected(ufunc: Any) -> Callable[[Ndarray, Any], Any]:
    return lambda self, other: wrap(quiet(ufunc, _operand(self._host, other), self._host))


def _in_place(ufunc: Any) -> Callable[[Ndarray, Any], Ndarray]:
    def method(self: Ndarray, other: Any) -> Ndarray:
        quiet(ufunc, self._host, _operand(self._host, other), out=self._host)
        return self

    return method


for _name, _ufunc in _BINARY.items():
    setattr(Ndarray, f"__{_name}__", _binary(_ufunc))
    setattr(Ndarray, f"__r{_name}__", _reflected(_ufunc))
    setattr(Ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in _COMPARE.items():
    setattr(Ndarray, f"__{_name}__", _binary(_ufunc))
for _name, _ufunc in _UNARY.items():
    setattr(Ndarray, f"__{_name}__", lambda self, ufunc=_ufunc: wrap(ufunc(self._host)))
Ndarray.__name__ = Ndarray.__qualname__ = "ndarray"
Ndarray.__module__ = "cupy"
