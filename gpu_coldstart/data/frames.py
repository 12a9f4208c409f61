"""Frames of any library, as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from gpu_coldstart.data.contract import SCHEMAS
from gpu_coldstart.errors import UserError, first_line

__all__ = ["to_arrow"]


def to_arrow(name: str, frame: Any) -> pa.Table:
    """A frame as an Arrow table.

    Parameters
    ----------
    name : str
        The table of the data contract that it is.
    frame : frame
        Anything with ``__arrow_c_stream__`` (pandas, Polars, PyArrow, DuckDB, cuDF), a record
        batch, or a dict of columns.

    Raises
    ------
    UserError
        For anything else, columns of unequal lengths or of mixed types, integers beyond int64,
        and a pandas frame that has a column of the contract as its index.
    """
    index = getattr(getattr(frame, "index", None), "names", None) or []
    columns = list(getattr(frame, "columns", []))
    for field in SCHEMAS[name]:
        if field.name in index and field.name not in columns:
            raise UserError(
                f"{name}: '{field.name}' is the frame's index, not a column: call reset_index()"
            )
    try:
        if isinstance(frame, pa.RecordBatch):
            return pa.Table.from_batches([frame])
        if isinstance(frame, Mapping) or hasattr(frame, "__arrow_c_stream__"):
            return pa.table(dict(frame) if isinstance(frame, Mapping) else frame)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{name} cannot be read as a table ({first_line(error)}): give columns of equal "
            "length, each of one type, integers within int64"
        ) from error
    raise UserError(
        f"{name} is of the type {type(frame).__name__}: give a frame of pandas, Polars, PyArrow or "
        "DuckDB, or a dict of columns"
    )
