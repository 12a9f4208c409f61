"""Columns of any type that the contract allows, in the few that engines read.

Numbers become int64, moments microseconds, and the text of a CSV file what its column holds.
What does not fit is said with its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.data.contract import ID, STRING, TIME, YEARS, Field
from gpu_coldstart.data.files import Opened
from gpu_coldstart.data.ids import as_text, is_integer, is_string
from gpu_coldstart.data.problems import Problem

__all__ = ["is_plain", "plain", "problem_at"]

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EXACT = 2**53
_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")


def is_plain(dtype: pa.DataType, field: Field) -> bool:
    """Whether engines read a column of this type by themselves, every value as it is."""
    if field.kind is TIME:
        return bool(pa.types.is_timestamp(dtype) and dtype.unit in ("us", "ns"))
    if field.kind is STRING:
        return is_string(dtype)
    return bool(pa.types.is_integer(dtype) and not pa.types.is_uint64(dtype))


def plain(
    column: pa.ChunkedArray, field: Field, opened: Opened
) -> tuple[pa.ChunkedArray, list[Problem]]:
    """A column as int64, ``timestamp[us]`` or strings, with nulls; and what did not fit.

    The values at rows with a problem mean nothing.
    """
    if opened.is_text and field.kind is not STRING:
        return _from_text(column, field, opened)
    if is_string(column.type):
        return column, []
    if field.kind is TIME:
        return _moments(column, field, opened)
    return _whole(column, field, opened)


def problem_at(
    opened: Opened, field: Field, bad: Any, text: Callable[[int], str], remedy: str
) -> list[Problem]:
    """The problem of the rows of a mask [rows], or none; ``text`` tells that of the first."""
    row = int(bad.argmax()) if bad.shape[0] and bool(bad.any()) else None
    if row is None:
        return []
    file, within = opened.place(row)
    return [Problem(opened.table, file, text(row), remedy, field.name, within, int(bad.sum()))]


def _mask(column: pa.ChunkedArray) -> Any:
    return np.asarray(pc.fill_null(column, fill_value=False))


def _blank(column: pa.ChunkedArray, bad: Any) -> pa.ChunkedArray:
    """The column with null where it is bad."""
    if not bad.any():
        return column
    return pc.if_else(pa.chunked_array([pa.array(bad)]), pa.scalar(None, column.type), column)


def _whole(
    column: pa.ChunkedArray, field: Field, opened: Opened
) -> tuple[pa.ChunkedArray, list[Problem]]:
    """Unsigned, decimal or floating numbers to int64."""
    kind = column.type
    if pa.types.is_uint64(kind):
        bad = _mask(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())))
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        column = _blank(column, _mask(pc.is_nan(column)))
        inexact = pc.greater(pc.abs(column), pa.scalar(float(_EXACT)))
        bad = _mask(pc.or_(pc.not_equal(pc.floor(column), column), inexact))
    elif pa.types.is_decimal(kind):
        values = column.to_pylist()
        bad = np.array(
            [v is not None and (v != int(v) or not -(2**63) <= v < 2**63) for v in values], bool
        )
    else:
        return column.cast(pa.int64()), []
    problems = problem_at(
        opened,
        field,
        bad,
        lambda row: f"{column[row].as_py()} is no whole number that int64 holds exactly",
        "write a whole number" + (", or ids as text" if field.kind is ID else ""),
    )
    return _blank(column, bad).cast(pa.int64()), problems


def _moments(
    column: pa.ChunkedArray, field: Field, opened: Opened
) -> tuple[pa.ChunkedArray, list[Problem]]:
    """Moments to microseconds; those beyond the bounds, which might not fit, in their own unit."""
    kind = column.type
    unit: Any = kind.unit if pa.types.is_timestamp(kind) else "ms"
    if pa.types.is_date32(kind):
        numbers = pc.multiply(column.cast(pa.int32()).cast(pa.int64()), 86_400_000)
    else:
        numbers = column.cast(pa.int64())
    low, high = (bound * _PER_SECOND[unit] // 10**6 for bound in (field.low or 0, field.high or 0))
    bad = _mask(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)))

    def text(row: int) -> str:
        moment = np.datetime64(numbers[row].as_py(), unit).astype("datetime64[Y]")
        year = 1970 + int(moment.astype(np.int64))
        return f"the time lies in the year {year}, outside {YEARS[0]} to {YEARS[1]}"

    problems = problem_at(opened, field, bad, text, field.hint)
    kept = _blank(numbers, bad).cast(pa.timestamp(unit)).cast(pa.timestamp("us"), safe=False)
    return kept, problems


# -- text ------------------------------------------------------------------------------------------


def _from_text(
    column: pa.ChunkedArray, field: Field, opened: Opened
) -> tuple[pa.ChunkedArray, list[Problem]]:
    """The cells of a CSV file. Ids are integers if all are, else strings; times are ISO 8601."""
    column = as_text(column)
    if field.kind is ID:
        whole = is_integer(column.drop_null()).all()
        return column.cast(pa.int64()) if whole else column, []
    if field.kind is TIME:
        numbers, bad = _parsed(column, _moment)
        what = "a moment such as 2020-03-02T18:20:11"
    else:
        numbers, bad = _parsed(column, _integer)
        what = "a whole number"
    problems = problem_at(
        opened, field, bad, lambda row: f"{column[row].as_py()!r} is not {what}", "correct it"
    )
    if field.kind is TIME:
        moments, outside = _moments(numbers.cast(pa.timestamp("us")), field, opened)
        return moments, problems + outside
    return numbers, problems


def _parsed(column: pa.ChunkedArray, parse: Callable[[str], int]) -> tuple[pa.ChunkedArray, Any]:
    """Each distinct text parsed once, to int64; null and a True in the mask where that fails."""
    encoded = pa.concat_arrays([pa.array([], pa.large_string()), *column.chunks])
    encoded = encoded.dictionary_encode()
    meanings: list[int | None] = []
    for word in encoded.dictionary.to_pylist():
        try:
            meanings.append(parse(word))
        except ValueError:
            meanings.append(None)
    values = pa.array(meanings, pa.int64()).take(encoded.indices)
    bad = np.asarray(pc.and_(pc.is_valid(encoded.indices), pc.is_null(values)))
    return pa.chunked_array([values]), bad


def _integer(text: str) -> int:
    match = _WHOLE.fullmatch(text)  # int() also takes 1_000, blanks and other scripts' digits
    if match is None or not -(2**63) <= int(match[1]) < 2**63:
        raise ValueError(text)
    return int(match[1])


def _moment(text: str) -> int:
    """Microseconds since 1970 (UTC); a moment without a zone is in UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
