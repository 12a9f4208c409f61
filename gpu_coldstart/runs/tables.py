"""The evaluation's tables as files: Parquet for programs, CSV for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from gpu_coldstart.evaluation.tables import SCHEMAS, Table, arrays
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import parquet_bytes, read_table
from gpu_coldstart.runs.names import spreadsheet_safe

__all__ = ["csv_bytes", "files_of", "read_tables"]

_IN_A_CELL = "; "

_PLAIN = {int, float, type(None)}
"""What the writer of the standard library writes just so."""


def csv_bytes(table: Table) -> bytes:
    """A table as CSV: UTF-8, a header, ``.`` as the decimal sign, lines that end in a line feed.

    Numbers keep all their digits, None is an empty cell, and lists are separated by ``; ``. Control
    characters become visible signs, and text that a spreadsheet would take for a formula gets an
    apostrophe before it; the Parquet files have all text as it is.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table)
    columns = [
        column if _PLAIN.issuperset(map(type, column)) else map(_cell, column)
        for column in table.values()
    ]
    writer.writerows(zip(*columns, strict=True))
    return sink.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        text = _IN_A_CELL.join(
            str(each) if isinstance(each, str) else _cell(each) for each in value
        )
        return spreadsheet_safe(text) if value and isinstance(value[0], str) else text
    if isinstance(value, str):
        return spreadsheet_safe(value)
    return repr(value) if isinstance(value, float) else str(value)


def files_of(tables: Mapping[str, Table]) -> dict[str, bytes]:
    """What is saved: each table as Parquet among the artifacts and as CSV in ``tables/``."""
    saved = {}
    for name, table in tables.items():
        saved[paths.analysed(name)] = parquet_bytes(arrays(name, table))
        saved[paths.csv(name)] = csv_bytes(table)
    return saved


def read_tables(saved: Mapping[str, bytes]) -> dict[str, Table]:
    """The tables out of what :func:`files_of` saved, perhaps by a version that had fewer."""
    there = [name for name in SCHEMAS if paths.analysed(name) in saved]
    read = {name: read_table(saved[paths.analysed(name)]).to_pydict() for name in there}
    return {
        name: {column: values.to_pylist() for column, values in arrays(name, table).items()}
        for name, table in read.items()
    }
