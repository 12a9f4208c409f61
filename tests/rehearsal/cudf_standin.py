"""The stand-in for cuDF: reading Parquet files and Arrow tables by its rules.

The rules were read off the sources of cuDF 26.2 and 26.6.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.rehearsal.cudf_series import CategoricalDtype, Index, Series
from tests.rehearsal.record import UndefinedError, note, recorded, transfer

__all__ = ["make"]


class DataFrame:
    """``cudf.DataFrame``."""

    def __init__(self, data: Any = None):
        if data is not None:
            raise NotImplementedError("tables come from read_parquet and from_arrow here")
        self._columns: dict[str, Any] = {}

    @classmethod
    def _of(cls, columns: dict[str, Any]) -> DataFrame:
        made = cls()
        made._columns = columns
        return made

    @classmethod
    def from_arrow(cls, table: Any) -> DataFrame:
        """Only what one chunk of one table says is safe: see the errors."""
        note("cudf.DataFrame.from_arrow", (table,), {})
        if not isinstance(table, pa.Table):
            raise TypeError(f"data must be a pyarrow.Table, not {type(table).__name__}")
        transfer("host-to-device", table.nbytes)
        names = table.column_names
        found = {name: _taken(column) for name, column in zip(names, table.columns, strict=True)}
        return cls._of(found)

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Series:
        if not isinstance(name, str):
            raise NotImplementedError("one column at a time is rehearsed")
        return Series(self._columns[name])

    def __array__(self, *_arguments: Any, **_options: Any) -> Any:
        raise TypeError("Implicit conversion to a host NumPy array via __array__ is not allowed")


def _whole(column: Any) -> Any:
    """A column in one piece."""
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = found.chunk(0) if found.num_chunks else pa.array([], column.type)
    return found


def _taken(column: Any) -> Any:
    """What ``from_arrow`` makes of a column."""
    kind = column.type
    types = pa.types
    if types.is_float16(kind):
        raise NotImplementedError("Type casting from `float16` to `float32` is not yet supported")
    if types.is_null(kind):
        return _whole(column).cast(pa.string())
    if types.is_dictionary(kind):
        return _dictionary(column)
    if types.is_date64(kind):
        raise ValueError("dtype datetime64[s] does not match the type of the plc_column")
    if types.is_date32(kind):
        return _whole(column).cast(pa.timestamp("s"))
    if types.is_large_string(kind) or types.is_string_view(kind):
        return _whole(column).cast(pa.string())
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_string)
    if types.is_timestamp(kind) or any(is_(kind) for is_ in plain):
        return _whole(column)
    raise TypeError(f"Unsupported type: {kind}")


def _dictionary(column: Any) -> Any:
    """Categories: cuDF puts the chunks' codes together without looking at their dictionaries."""
    words = [chunk.dictionary for chunk in column.chunks]
    if any(not other.equals(words[0]) for other in words[1:]):
        raise UndefinedError(
            "cuDF would mix up the codes of chunks: unify their dictionaries first"
        )
    if words and (words[0].null_count or len(pc.unique(words[0])) < len(words[0])):
        raise UndefinedError("cuDF would shift the codes: a dictionary's words repeat, or are null")
    if not pa.types.is_string(column.type.value_type):
        raise ValueError(f"categories of {column.type.value_type}: rehearsed with strings only")
    return _whole(column)


def _read_parquet(
    filepath_or_buffer: Any,
    engine: str = "cudf",
    columns: Sequence[str] | None = None,
    *,
    use_pandas_metadata: bool = True,
    allow_mismatched_pq_schemas: bool = False,
    ignore_missing_columns: bool = True,
) -> DataFrame:
    """Leaves out columns that the file has not, and those that pandas saved as an index."""
    if engine != "cudf" or not isinstance(columns, list):
        raise NotImplementedError("rehearsed with its own engine and a list of columns")
    path = os.fspath(filepath_or_buffer)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} could not be resolved to any files")
    try:
        schema = pq.read_schema(path)
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        there = [name for name in columns if name in schema.names]
        if len(there) < len(columns) and not ignore_missing_columns:
            raise RuntimeError("CUDF failure: Encountered non-existent column in selected path")
        table = pq.read_table(path, columns=there)
        kept = [name for name in there if not (use_pandas_metadata and name in index)]
        found = {name: _as_read(_whole(table.column(name))) for name in kept}
    except (pa.ArrowException, OSError) as error:
        raise RuntimeError(f"CUDF failure at:/parquet/reader_impl_helpers.cpp: {error}") from error
    transfer("host-to-device", sum(data.nbytes for data in found.values()))
    return DataFrame._of(found)


def _as_read(data: Any) -> Any:
    """The type in which cuDF's own reader hands out a column: it knows no Arrow schema."""
    if pa.types.is_dictionary(data.type):
        data = data.dictionary_decode()
    kind = data.type
    if pa.types.is_timestamp(kind):
        return data.cast(pa.timestamp("ms" if kind.unit == "s" else kind.unit))
    if pa.types.is_date(kind):
        return data.cast(pa.timestamp("s"))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return data.cast(pa.string())
    return data


def make() -> dict[str, ModuleType]:
    """The modules, by name."""
    module: Any = ModuleType("cudf")
    module.__version__ = "26.06.00"
    module.DataFrame, module.Series, module.Index = DataFrame, Series, Index
    module.CategoricalDtype = CategoricalDtype
    module.read_parquet = recorded("cudf.read_parquet", _read_parquet)
    return {"cudf": module}
