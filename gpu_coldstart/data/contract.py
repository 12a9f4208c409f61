"""The data contract as data: tables, columns, types and the values that may stand in them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.data.ids import is_string

__all__ = [
    "ACTIONS",
    "ENTITIES",
    "ID",
    "INTEGER",
    "REQUIRED",
    "SCHEMAS",
    "SPLITS",
    "STRING",
    "TIME",
    "VECTOR",
    "YEARS",
    "Field",
    "Kind",
    "contents",
]

ACTIONS = ("stream", "skip", "favorite", "ban", "search", "onboarding")
"""What a user may do; ``action`` columns hold int32 codes into this tuple."""

ENTITIES = ("track", "artist", "album", "playlist")
"""What a user may do it to; ``entity`` columns hold int32 codes into this tuple."""

SPLITS = ("warm", "validation", "test", "target")
"""The parts of the users; ``split`` columns hold int32 codes into this tuple."""


@dataclass(frozen=True)
class Kind:
    """A type that a column may have.

    Attributes
    ----------
    accepts : callable
        Whether an Arrow type will do.
    wanted, remedy : str
        How to say so, and how to get there.
    of_text : str
        How to get there from text; empty where it is the same.
    """

    accepts: Callable[[pa.DataType], bool]
    wanted: str
    remedy: str
    of_text: str = ""

    def remedy_for(self, dtype: pa.DataType) -> str:
        """How to get there from an Arrow type."""
        types = pa.types
        if types.is_null(dtype):
            return "fill it"
        if types.is_nested(dtype) and self is not VECTOR:
            return "give each row a single value"
        if types.is_binary(dtype) or types.is_large_binary(dtype):
            return "decode it, in pandas with .str.decode('utf-8')"
        return self.of_text if self.of_text and is_string(dtype) else self.remedy


@dataclass(frozen=True)
class Field:
    """What a column must be.

    Attributes
    ----------
    low, high : int or None
        Bounds, inclusive.
    choices : tuple of str
        The only words that may stand in it.
    hint : str
        How to mend a wrong value.
    space : str
        The id space (:data:`gpu_coldstart.data.ids.KINDS`) of a column of ids; ``"entity"`` where
        another column says which.
    owner : bool
        Whether ids that this column does not have are unknown.
    """

    name: str
    kind: Kind
    required: bool = True
    nullable: bool = False
    unique: bool = False
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    hint: str = ""
    space: str = ""
    owner: bool = False


def _is_number(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(dtype) or types.is_decimal(dtype) or types.is_floating(dtype))


def _is_time(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(dtype) or pa.types.is_date(dtype))


def _is_vector(dtype: pa.DataType) -> bool:
    types = pa.types
    listed = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if not any(is_(dtype) for is_ in listed):
        return False
    return bool(types.is_floating(dtype.value_type) or types.is_integer(dtype.value_type))


def _is_id(dtype: pa.DataType) -> bool:
    return _is_number(dtype) or is_string(dtype)


INTEGER = Kind(
    _is_number,
    "an integer type that fits int64",
    "cast it, in pandas with .astype('Int64')",
    "convert it, in pandas with pandas.to_numeric(...).astype('Int64')",
)
ID = Kind(
    _is_id,
    "an integer type that fits int64, or a string",
    "cast it, in pandas with .astype('Int64') or .astype('string')",
)
TIME = Kind(
    _is_time,
    "a timestamp or a date",
    "convert it, in pandas with pandas.to_datetime(..., unit=...)",
    "convert it, in pandas with pandas.to_datetime",
)
VECTOR = Kind(
    _is_vector,
    "a list of numbers",
    "write lists of numbers, all of one length, as 'gpu-coldstart artists embed' does",
)
STRING = Kind(is_string, "a string", "convert it, in pandas with .astype('string')")

YEARS = (1990, 2100)
"""First and last year of a moment."""


def _year_start(year: int) -> int:
    """Microseconds from 1970 to the start of ``year``."""
    return int(np.datetime64(f"{year:04d}-01-01", "us").astype(np.int64))


def _id(space: str, *, column: str = "", **rules: Any) -> Field:
    return Field(column or f"{space}_id", ID, space=space, **rules)


def _optional(name: str, kind: Kind, *, nullable: bool = True, **rules: Any) -> Field:
    return Field(name, kind, required=False, nullable=nullable, **rules)


_TIME_RULES: dict[str, Any] = {
    "low": _year_start(YEARS[0]),
    "high": _year_start(YEARS[1] + 1) - 1,
    "hint": "check the unit it was converted from",
}
_MAYBE: dict[str, Any] = {"required": False, "nullable": True}
_AGE_HINT = "write null where the age is unknown"
_SPLIT_HINT = "correct it, or leave the column out to split by registration date"
_WORD_HINT = "rename it or drop the row"
_COUNT_HINT = "drop the row, or leave the column out to count each row once"

SCHEMAS: dict[str, tuple[Field, ...]] = {
    "users": (
        _id("user", unique=True, owner=True, hint="keep one row for a user"),
        Field("registered_at", TIME, **_TIME_RULES),
        _optional("country", STRING),
        _optional("age", INTEGER, low=0, high=130, hint=_AGE_HINT),
        _optional("split", STRING, nullable=False, choices=SPLITS, hint=_SPLIT_HINT),
    ),
    "tracks": (
        _id("track", unique=True, owner=True, hint="keep one row for a track"),
        _id("artist", owner=True, **_MAYBE),
        _id("album", owner=True, **_MAYBE),
        _optional("genre", STRING),
        _optional("title", STRING),
        _optional("artist_name", STRING),
    ),
    "interactions": (
        _id("user"),
        Field("timestamp", TIME, **_TIME_RULES),
        Field("action", STRING, choices=ACTIONS, hint=_WORD_HINT),
        Field("entity", STRING, choices=ENTITIES, hint=_WORD_HINT),
        _id("entity"),
        _optional("count", INTEGER, nullable=False, low=1, hint=_COUNT_HINT),
    ),
    "playlists": (
        _id("playlist", owner=True),
        _id("track"),
        _optional("position", INTEGER),
        _id("user", **_MAYBE),
        _optional("created_at", TIME, **_TIME_RULES),
        _optional("title", STRING),
    ),
    "sound": (_id("track"), Field("embedding", VECTOR)),
}
"""The columns of each table."""


REQUIRED = ("users", "tracks", "interactions")
"""The tables that no data set can do without."""


def contents(table: str, optional: Collection[str] = ()) -> str:
    """What a table should hold, in words, for an error about one that is missing.

    Parameters
    ----------
    optional : collection of str
        Columns that may be missing beside those that the contract makes optional.

    Examples
    --------
    >>> contents("playlists")
    'the columns playlist_id, track_id (and may have position, user_id, created_at, title)'
    """
    names = [field.name for field in SCHEMAS[table]]
    must = [field.name for field in SCHEMAS[table] if field.required and field.name not in optional]
    may = ", ".join(name for name in names if name not in must)
    return f"the columns {', '.join(must)} (and may have {may})"
