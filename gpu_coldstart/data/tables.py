"""The data contract: which tables and columns the method needs, and what is wrong when it is not.

Whoever brings data brings a :data:`Source`: three Parquet files or Arrow tables, or four.
:func:`load` checks the schema on the host, lets the engine read the columns, checks every value,
and returns :class:`Tables`. A mistake in the data raises one
:class:`~gpu_coldstart.errors.UserError` that names the file, the column, the row and the remedy.

Rules between tables (ids that another table does not know, users without a split) are not
decided here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.engine.base import Array, Column, Engine
from gpu_coldstart.errors import UserError

__all__ = ["ACTIONS", "ENTITIES", "SPLITS", "Source", "Tables", "contents", "load", "load_table"]

Source: TypeAlias = Mapping[str, Path | pa.Table]
"""Where each table is: keys ``users``, ``tracks``, ``interactions`` and optionally
``playlists``."""

ACTIONS = ("stream", "skip", "favorite", "ban", "search", "onboarding")
"""What a user may do; ``action`` columns hold int32 codes into this tuple."""

ENTITIES = ("track", "artist", "album", "playlist")
"""What a user may do it to; ``entity`` columns hold int32 codes into this tuple."""

SPLITS = ("warm", "validation", "test", "target")
"""The parts of the users; ``split`` columns hold int32 codes into this tuple."""


@dataclass(frozen=True)
class Tables:
    """The tables of the data contract, read and checked.

    Each table is a dict of :class:`~gpu_coldstart.engine.base.Column`, all of a table with the
    same number of rows. An optional column that the data does not have is not a key. Only
    ``country``, ``age``, ``artist_id``, ``album_id``, ``genre`` and the optional columns of the
    playlists may hold nulls.

    Attributes
    ----------
    users : dict
        ``user_id`` int64, unique; ``registered_at`` int64, microseconds since 1970 (UTC).
        Optional: ``country`` int32 codes into its names; ``age`` int64, 0 to 130 years;
        ``split`` int32 codes into :data:`SPLITS`.
    tracks : dict
        ``track_id`` int64, unique. Optional: ``artist_id``, ``album_id`` int64; ``genre`` int32
        codes into its names.
    interactions : dict
        ``user_id`` int64; ``timestamp`` int64, microseconds since 1970 (UTC); ``action`` int32
        codes into :data:`ACTIONS`; ``entity`` int32 codes into :data:`ENTITIES`; ``entity_id``
        int64. Optional: ``count`` int64, at least 1; absent, every count is 1.
    playlists : dict or None
        ``playlist_id``, ``track_id`` int64. Optional: ``position`` int64; ``user_id`` int64, who
        made it, and ``created_at``, as ``timestamp``, for playlists that must not tell the future
        of a cold user. None when the source has no playlists, or a table of them without a row.
    """

    users: dict[str, Column]
    tracks: dict[str, Column]
    interactions: dict[str, Column]
    playlists: dict[str, Column] | None


# -- the contract as data --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """A type a column may have: which Arrow types do, how to say so and how to get there."""

    accepts: Callable[[Any], bool]
    wanted: str
    remedy: str


@dataclass(frozen=True)
class _Field:
    """What a column must be: bounds are inclusive, ``hint`` says how to mend a wrong value."""

    name: str
    kind: _Kind
    required: bool = True
    nullable: bool = False
    unique: bool = False
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    hint: str = ""


def _is_integer(dtype: Any) -> bool:
    return bool(pa.types.is_integer(dtype) and not pa.types.is_uint64(dtype))


def _is_time(dtype: Any) -> bool:
    return bool(pa.types.is_timestamp(dtype) or pa.types.is_date(dtype))


def _is_string(dtype: Any) -> bool:
    types = pa.types
    plain = dtype.value_type if types.is_dictionary(dtype) else dtype
    return any(is_(plain) for is_ in (types.is_string, types.is_large_string, types.is_string_view))


_INTEGER = _Kind(
    _is_integer, "an integer type that fits int64", "cast it, in pandas with .astype('Int64')"
)
_TIME = _Kind(_is_time, "a timestamp or a date", "convert it, in pandas with pandas.to_datetime")
_STRING = _Kind(_is_string, "a string", "convert it, in pandas with .astype('string')")

_YEARS = (1990, 2100)


def _year_start(year: int) -> int:
    """Microseconds from 1970 to the start of ``year``."""
    return int(np.datetime64(f"{year:04d}-01-01", "us").astype(np.int64))


def _optional(name: str, kind: _Kind, *, nullable: bool = True, **rules: Any) -> _Field:
    return _Field(name, kind, required=False, nullable=nullable, **rules)


_TIME_RULES: dict[str, Any] = {
    "low": _year_start(_YEARS[0]),
    "high": _year_start(_YEARS[1] + 1) - 1,
    "hint": "check the unit it was converted from",
}


_AGE_HINT = "write null where the age is unknown"
_SPLIT_HINT = "correct it, or leave the column out to split by registration date"
_WORD_HINT = "rename it or drop the row"
_COUNT_HINT = "drop the row, or leave the column out to count each row once"

_SCHEMAS: dict[str, tuple[_Field, ...]] = {
    "users": (
        _Field("user_id", _INTEGER, unique=True, hint="keep one row for a user"),
        _Field("registered_at", _TIME, **_TIME_RULES),
        _optional("country", _STRING),
        _optional("age", _INTEGER, low=0, high=130, hint=_AGE_HINT),
        _optional("split", _STRING, nullable=False, choices=SPLITS, hint=_SPLIT_HINT),
    ),
    "tracks": (
        _Field("track_id", _INTEGER, unique=True, hint="keep one row for a track"),
        _optional("artist_id", _INTEGER),
        _optional("album_id", _INTEGER),
        _optional("genre", _STRING),
    ),
    "interactions": (
        _Field("user_id", _INTEGER),
        _Field("timestamp", _TIME, **_TIME_RULES),
        _Field("action", _STRING, choices=ACTIONS, hint=_WORD_HINT),
        _Field("entity", _STRING, choices=ENTITIES, hint=_WORD_HINT),
        _Field("entity_id", _INTEGER),
        _optional("count", _INTEGER, nullable=False, low=1, hint=_COUNT_HINT),
    ),
    "playlists": (
        _Field("playlist_id", _INTEGER),
        _Field("track_id", _INTEGER),
        _optional("position", _INTEGER),
        _optional("user_id", _INTEGER),
        _optional("created_at", _TIME, **_TIME_RULES),
    ),
}


def contents(table: str) -> str:
    """What a table should hold, in words, for an error about one that is missing.

    Examples
    --------
    >>> contents("playlists")
    'the columns playlist_id, track_id (and may have position, user_id, created_at)'
    """
    required = ", ".join(field.name for field in _SCHEMAS[table] if field.required)
    optional = ", ".join(field.name for field in _SCHEMAS[table] if not field.required)
    return f"the columns {required} (and may have {optional})"


# -- loading ---------------------------------------------------------------------------------------


def load(engine: Engine, source: Source) -> Tables:
    """Read the tables of the data contract and check every value.

    Parameters
    ----------
    engine : Engine
        Reads the columns, and holds them.
    source : Source
        Integers may have any width that fits int64; timestamps any unit, where one without a
        time zone means UTC and a date its midnight; strings any string type or a dictionary of
        one. Other columns are ignored, and so is a nullable column of Arrow's null type.

    Returns
    -------
    Tables
        Rows in the order of the source.

    Raises
    ------
    UserError
        When a table or column is missing, a file is not whole, a type is another, or a value
        cannot be: a null in a column that has none, a repeated id, an age outside 0 to 130, a
        year outside 1990 to 2100, an unknown word, a count below 1, no rows at all.
    """
    users, tracks, interactions = (
        _load(engine, source, table) for table in ("users", "tracks", "interactions")
    )
    playlists = _load(engine, source, "playlists") if "playlists" in source else None
    if playlists is not None and _rows(playlists) == 0:
        playlists = None
    return Tables(users, tracks, interactions, playlists)


def _load(engine: Engine, source: Source, table: str) -> dict[str, Column]:
    if table not in source:
        raise UserError(f"the source has no table '{table}': add one with {contents(table)}")
    return load_table(engine, source[table], table)


def load_table(
    engine: Engine, entry: Path | pa.Table, table: str, *, optional: Collection[str] = ()
) -> dict[str, Column]:
    """Read one table of the data contract and check every value.

    Parameters
    ----------
    optional : collection of str
        Columns that may be missing beside those that the contract makes optional.

    Raises
    ------
    UserError
        As :func:`load`.
    """
    file = str(entry) if isinstance(entry, Path) else table
    fields = _present(_schema(entry, table), file, table, optional)
    columns = engine.read(entry, [field.name for field in fields])
    if _rows(columns) == 0 and table != "playlists":
        raise UserError(f"{file} has no rows: it should hold {contents(table)}")
    return {field.name: _checked(engine, columns[field.name], field, file) for field in fields}


def _rows(columns: Mapping[str, Column]) -> int:
    return int(next(iter(columns.values())).values.shape[0])


# -- the schema, on the host -----------------------------------------------------------------------


def _schema(entry: Path | pa.Table, table: str) -> Mapping[str, Any]:
    """Arrow type of each column, from the Parquet footer or the Arrow table."""
    schema = _footer(entry, table) if isinstance(entry, Path) else entry.schema
    names = list(schema.names)
    for name in (field.name for field in _SCHEMAS[table]):
        if names.count(name) > 1:
            file = entry if isinstance(entry, Path) else table
            raise UserError(
                f"{file} has {names.count(name)} columns named '{name}': keep one of them"
            )
    return dict(zip(names, schema.types, strict=True))


def _footer(path: Path, table: str) -> Any:
    """Arrow schema of a Parquet file.

    A damaged footer can surface as almost any exception of the reader (names that are not
    UTF-8, sizes that cannot be allocated), hence the long list.
    """
    if not path.exists():
        raise UserError(
            f"{path} does not exist: it should be a Parquet file with {contents(table)}"
        )
    if path.is_dir():
        raise UserError(f"{path} is a directory: merge its parts into one Parquet file")
    try:
        schema = pq.read_schema(path)
        schema.names  # noqa: B018 - decodes them, which a damaged one fails
    except (OSError, ValueError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise UserError(_not_parquet(path, error)) from error
    return schema


def _not_parquet(path: Path, error: BaseException) -> str:
    """Why a file has no readable footer: Parquet begins and ends with the letters PAR1."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(path.stat().st_size - 4, 0))
            tail = file.read(4)
    except OSError as cause:
        return f"{path} cannot be read ({cause.strerror}): check its permissions and the disk"
    if not head:
        return f"{path} is empty: copy or write it again"
    if head != b"PAR1":
        return f"{path} is not a Parquet file: convert it, in pandas with DataFrame.to_parquet"
    if tail != b"PAR1":
        return f"{path} is cut short: its end is missing, so copy or write it again"
    cause_line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
    return f"{path} is damaged, its footer cannot be read ({cause_line}): copy or write it again"


def _present(
    schema: Mapping[str, Any], file: str, table: str, optional: Collection[str]
) -> list[_Field]:
    """The contract's fields that the table has, each of a type it may have."""
    present = []
    for field in _SCHEMAS[table]:
        dtype = schema.get(field.name)
        if dtype is None and field.required and field.name not in optional:
            raise UserError(_missing(field, schema, file))
        if dtype is None or (field.nullable and pa.types.is_null(dtype)):
            continue
        if not field.kind.accepts(dtype):
            raise UserError(
                f"{file}, column '{field.name}': found the type {dtype}, wanted "
                f"{field.kind.wanted}: {field.kind.remedy}"
            )
        present.append(field)
    return present


def _missing(field: _Field, schema: Mapping[str, Any], file: str) -> str:
    plain = {name.lower(): name for name in schema}
    similar = difflib.get_close_matches(field.name, plain, n=3, cutoff=0.6)
    found = [plain[name] for name in similar] or list(schema)[:12]
    listed = ", ".join(f"'{name}'" for name in found) or "no column at all"
    return (
        f"{file} has no column '{field.name}' (it has {listed}): add it, or rename the one that "
        f"holds it ({field.kind.wanted})"
    )


# -- the values, wherever the engine holds them ----------------------------------------------------


def _checked(engine: Engine, column: Column, field: _Field, file: str) -> Column:
    """The column, its values checked and, where only some words may stand, its codes remapped."""
    if not field.nullable:
        _check_nulls(column, field, file)
    if field.low is not None:
        _check_range(column, field, file)
    if field.unique:
        _check_unique(engine.xp, column.values, field, file)
    return _choose(engine, column, field, file) if field.choices else column


def _fail(file: str, field: _Field, row: int, problem: str, remedy: str) -> NoReturn:
    raise UserError(
        f"{file}, column '{field.name}', row {row}, counting from 0: {problem}: {remedy}"
    )


def _first(bad: Array) -> int | None:
    """First row where ``bad`` [rows] is True."""
    return int(bad.argmax()) if bool(bad.any()) else None


def _check_nulls(column: Column, field: _Field, file: str) -> None:
    row = None if column.valid is None else _first(~column.valid)
    if row is not None:
        remedy = "fill it or drop the row"
        if not field.required:
            remedy = "fill it, or leave the whole column out"
        _fail(file, field, row, "the cell is null, which this column may not have", remedy)


def _check_range(column: Column, field: _Field, file: str) -> None:
    values = column.values
    bad = values < field.low
    if field.high is not None:
        bad |= values > field.high
    row = _first(bad if column.valid is None else bad & column.valid)
    if row is not None:
        _fail(file, field, row, _outside(int(values[row]), field), field.hint)


def _outside(value: int, field: _Field) -> str:
    if field.kind is _TIME:
        year = 1970 + int(np.datetime64(value, "us").astype("datetime64[Y]").astype(np.int64))
        return f"the time lies in the year {year}, outside {_YEARS[0]} to {_YEARS[1]}"
    if field.high is None:
        return f"{value} is below {field.low}"
    return f"{value} is outside {field.low} to {field.high}"


def _check_unique(xp: Any, ids: Array, field: _Field, file: str) -> None:
    # The sort is stable, so that within equal ids the rows ascend and the first is the original.
    order = xp.argsort(ids, kind="stable")
    repeats = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if repeats.shape[0]:
        row = int(repeats.min())
        original = int((ids == ids[row]).argmax())
        problem = f"the id {int(ids[row])} already stands in row {original}"
        _fail(file, field, row, problem, field.hint)


def _choose(engine: Engine, column: Column, field: _Field, file: str) -> Column:
    """Codes into the column's own names, as codes into the names the contract allows."""
    place = {name: code for code, name in enumerate(field.choices)}
    table = np.array([place.get(name, -1) for name in column.names] or [-1], dtype=np.int32)
    values = engine.asarray(table)[column.values]
    row = _first(values < 0)
    if row is not None:
        word = column.names[int(column.values[row])]
        allowed = ", ".join(field.choices)
        _fail(file, field, row, f"{word!r} is none of {allowed}", field.hint)
    return Column(values, None, field.choices)
