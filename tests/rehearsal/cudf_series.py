"""The stand-ins for ``cudf.Series`` and ``cudf.Index``, over Arrow, which has nulls as cuDF has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.rehearsal.cupy_array import Ndarray, is_scalar, wrap
from tests.rehearsal.record import UndefinedError, recorded, transfer

__all__ = ["CategoricalDtype", "DatetimeTZDtype", "Index", "Series"]

_STRING = np.dtype("O")


class CategoricalDtype:
    """``cudf.CategoricalDtype``."""

    kind = "O"
    name = "category"
    ordered = False

    def __eq__(self, other: object) -> bool:
        return other == "category" or isinstance(other, CategoricalDtype)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "category"


class DatetimeTZDtype:
    """``pandas.DatetimeTZDtype``: microseconds, or another unit, of UTC."""

    kind = "M"

    def __init__(self, unit: str, zone: str):
        self.unit, self.tz = unit, zone
        self.name = f"datetime64[{unit}, {zone}]"

    def __repr__(self) -> str:
        return self.name


def _dtype(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return CategoricalDtype()
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return DatetimeTZDtype(kind.unit, kind.tz)
        return np.dtype(f"datetime64[{kind.unit}]")
    return _STRING if pa.types.is_string(kind) else np.dtype(kind.to_pandas_dtype())


def _smallest_unsigned(count: int) -> Any:
    for kind in (pa.uint8(), pa.uint16(), pa.uint32()):
        if count <= np.iinfo(kind.to_pandas_dtype()).max:
            return kind
    return pa.uint64()


class _Column:
    """What a Series and an Index have in common."""

    def __init__(self, data: Any):
        if not isinstance(data, pa.Array):
            # cuDF takes more; what the engine never gives is refused, so that a new use is noticed.
            raise NotImplementedError("columns come from read_parquet and from_arrow here")
        self._data = data

    dtype = property(lambda self: _dtype(self._data.type))
    size = property(lambda self: len(self._data))

    def __len__(self) -> int:
        return len(self._data)

    def __array__(self, *_arguments: Any, **_options: Any) -> Any:
        raise TypeError("Implicit conversion to a host NumPy array via __array__ is not allowed")

    def __iter__(self) -> Any:
        raise TypeError("Series object is not iterable. Consider using `.to_arrow()`")

    def to_arrow(self) -> Any:
        transfer("device-to-host", self._data.nbytes)
        return self._data

    def to_cupy(self, dtype: Any = None, copy: bool = False, na_value: Any = None) -> Any:
        if self.dtype.kind not in "biuf":
            raise TypeError(f"cupy does not support {self.dtype}: take codes, or int64 for times")
        data = self._data if na_value is None else _filled(self._data, na_value)
        if data.null_count:
            raise UndefinedError(
                "cuDF hands integers with nulls to CuPy as float64 with NaN: use fillna first"
            )
        host = data.to_numpy(zero_copy_only=False)
        return wrap(host.astype(dtype or host.dtype, copy=copy))

    @property
    def values(self) -> Any:
        return self.to_cupy()


class Index(_Column):
    """``cudf.Index``."""


class Series(_Column):
    """``cudf.Series``."""

    null_count = property(lambda self: int(self._data.null_count))
    has_nulls = property(lambda self: bool(self._data.null_count))
    nullable = property(lambda self: bool(self._data.null_count))

    def notnull(self) -> Series:
        return Series(pc.is_valid(self._data))

    def fillna(
        self, value: Any = None, method: Any = None, axis: Any = None, inplace: bool = False
    ) -> Series:
        if method is not None or axis is not None or inplace:
            # As above: cuDF has these, the engine does not ask for them.
            raise NotImplementedError("rehearsed with a value only")
        return Series(_filled(self._data, value))

    def astype(self, dtype: Any, copy: Any = None, errors: str = "raise") -> Series:
        return Series(_cast(self._data, dtype))

    @property
    def cat(self) -> Categories:
        if not pa.types.is_dictionary(self._data.type):
            raise AttributeError("Can only use .cat accessor with a 'category' dtype")
        return Categories(self._data)


class Categories:
    """What ``Series.cat`` gives."""

    ordered = False

    def __init__(self, data: Any):
        self._data = data

    @property
    def codes(self) -> Series:
        """Unsigned, of the smallest type, and null where the value is null: not -1."""
        kind = _smallest_unsigned(len(self._data.dictionary))
        return Series(self._data.indices.cast(kind))

    @property
    def categories(self) -> Index:
        """In the order of the codes, which is sorted only if cuDF made them."""
        return Index(self._data.dictionary)


# -- casting ---------------------------------------------------------------------------------------


def _filled(data: Any, value: Any) -> Any:
    if isinstance(value, Ndarray) or not (is_scalar(value) or isinstance(value, str)):
        raise TypeError(f"fillna with {type(value)}")
    if pa.types.is_dictionary(data.type):
        place = pc.index(data.dictionary, value).as_py() if isinstance(value, str) else -1
        if place < 0:
            raise ValueError(f"fill_value={value!r} must be in categories")
        indices = data.indices.fill_null(place)
        return pa.DictionaryArray.from_arrays(indices, data.dictionary)
    if pa.types.is_timestamp(data.type):
        raise NotImplementedError("fill times after turning them into int64")
    try:
        filler = pa.scalar(value).cast(data.type)
    except pa.ArrowInvalid as error:
        raise TypeError(
            f"Cannot safely cast non-equivalent {type(value).__name__} to {data.type}"
        ) from error
    return data.fill_null(filler)


def _cast(data: Any, dtype: Any) -> Any:
    if isinstance(dtype, str) and dtype == "category":
        return data if pa.types.is_dictionary(data.type) else _categorised(data)
    if isinstance(dtype, CategoricalDtype):
        return _cast(data, "category")
    if dtype in {"str", "string", "object", str}:
        if pa.types.is_dictionary(data.type):
            return data.dictionary_decode()
        if pa.types.is_string(data.type):
            return data
        raise NotImplementedError(f"{data.type} as text")
    wanted = np.dtype(dtype)
    if wanted.kind == "M":
        return _as_time(data, np.datetime_data(wanted)[0])
    if wanted.kind in "biuf":
        return _as_number(data, pa.from_numpy_dtype(wanted))
    raise TypeError(f"cuDF has no type {dtype}")


def _categorised(data: Any) -> Any:
    words = pc.unique(data).drop_null()
    words = words.take(pc.sort_indices(words))
    return pa.DictionaryArray.from_arrays(pc.index_in(data, value_set=words), words)


def _as_time(data: Any, unit: str) -> Any:
    kind = data.type
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            raise TypeError(
                "Cannot use .astype to convert from timezone-aware dtype to timezone-naive dtype. "
                "Use tz_localize(None) instead."
            )
        return data.cast(pa.timestamp(unit), safe=False)
    if pa.types.is_integer(kind):
        return data.cast(pa.int64()).cast(pa.timestamp(unit))
    raise NotImplementedError(f"{kind} as a time")


def _as_number(data: Any, kind: Any) -> Any:
    if pa.types.is_string(data.type) or pa.types.is_dictionary(data.type):
        raise NotImplementedError("strings as numbers: take codes")
    if pa.types.is_timestamp(data.type):
        data = data.cast(pa.int64())  # in the unit they have, whatever that is
    return data.cast(kind, safe=False)


for _name in ("astype", "fillna", "notnull", "to_arrow", "to_cupy"):
    setattr(Series, _name, recorded(f"cudf.Series.{_name}", getattr(Series, _name), method=True))
Index.to_arrow = recorded("cudf.Index.to_arrow", Index.to_arrow, method=True)  # type: ignore[method-assign]
