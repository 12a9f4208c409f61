"""Columns of tables on the GPU, by cuDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cudf
import cupy as cp
import pyarrow as pa

from gpu_coldstart.engine.base import Array, Column
from gpu_coldstart.engine.cuda.memory import out_of_memory
from gpu_coldstart.errors import UserError, first_line

__all__ = ["read"]

_DAMAGE = (
    pa.ArrowException,
    OSError,
    RuntimeError,
    ValueError,  # UnicodeDecodeError too: text is decoded when the strings are taken out
    TypeError,
    IndexError,
    ArithmeticError,
)
"""What cuDF raises for a file whose pages are damaged."""


def read(source: Path | pa.Table, columns: Sequence[str]) -> dict[str, Column]:
    """See :meth:`gpu_coldstart.engine.base.Engine.read`."""
    try:
        if isinstance(source, Path):
            frame = cudf.read_parquet(source, columns=list(columns), use_pandas_metadata=False)
        else:
            frame = cudf.DataFrame.from_arrow(_plain(source.select(list(columns))))
        return {name: _column(frame[name]) for name in columns}
    except _DAMAGE as error:
        if out_of_memory(error):
            raise
        what = source if isinstance(source, Path) else "an Arrow table"
        raise UserError(f"{what} is damaged ({first_line(error)}): write it again") from error


def _plain(table: pa.Table) -> pa.Table:
    """The table in types that cuDF takes: strings as such, times in microseconds without zone."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_temporal(kind):
            kind = pa.timestamp("us")
        elif not pa.types.is_integer(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields), safe=False)


def _column(series: Any) -> Column:
    """Column of cuDF to the engine's own, by the rules of :class:`Column`."""
    valid = None
    if series.has_nulls:
        valid = series.notnull().to_cupy()
    kind = series.dtype.kind
    if kind == "M":
        series = series.astype("datetime64[us]").astype("int64")
    elif kind not in "iu":
        return _strings(series, valid)
    series = series.astype("int64")
    return Column((series if valid is None else series.fillna(0)).to_cupy(), valid)


def _strings(series: Any, valid: Array | None) -> Column:
    """String column (categorical or not) to codes into its sorted distinct strings."""
    categories = series.astype("category").cat
    words = categories.categories.to_arrow().to_pylist()
    codes = (
        (categories.codes if valid is None else categories.codes.fillna(0))
        .to_cupy()
        .astype(cp.int32)
    )
    used = cp.unique(codes if valid is None else codes[valid]).get()
    names = sorted(words[code] for code in used)
    place = {name: code for code, name in enumerate(names)}
    recode = cp.asarray([place.get(word, 0) for word in words] or [0], dtype=cp.int32)
    return Column(recode[codes], valid, tuple(names))
