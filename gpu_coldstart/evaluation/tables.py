"""The evaluation's tables: their columns, and how they are written and read.

A table is a dict of column name to list. None means unknown or not applicable;
fractions are fractions, not per cent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.evaluation.names import spreadsheet_safe
from gpu_coldstart.evaluation.protocol import MEASURES, Place, Row, Summary
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import parquet_bytes

__all__ = [
    "NETWORK",
    "SCHEMAS",
    "Table",
    "assemble",
    "csv_bytes",
    "files_of",
    "read_tables",
    "results",
]

Table: TypeAlias = dict[str, list[Any]]


def _of(kind: Any, names: str) -> dict[str, Any]:
    """Columns of one type, their names separated by spaces."""
    return dict.fromkeys(names.split(), kind)


_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
_IDS = pa.list_(pa.int64())
_MEASURED = {**_of(_TEXT, "space strategy"), "k": _INT, "measure": _TEXT}
_GROUP = {"group": _TEXT, **_of(_INT, "order users"), **_of(_REAL, "mean low high")}

SCHEMAS: dict[str, dict[str, Any]] = {
    "results": {**_MEASURED, "users": _INT, **_of(_REAL, "mean std low high")},
    "comparisons": {
        "space": _TEXT,
        "k": _INT,
        **_of(_TEXT, "measure strategy_a strategy_b"),
        **_of(_REAL, "difference low high p_bootstrap p_wilcoxon p_holm"),
    },
    "strata": {**_MEASURED, "by": _TEXT, **_GROUP},
    "exposure": {
        **_of(_TEXT, "space strategy"),
        "k": _INT,
        "country": _TEXT,
        "users": _INT,
        **_of(_REAL, "p5 p25 p50 p75 p95 mean share_top_100 share_top_1000 share_top_5000"),
        **_of(_REAL, "coverage gini novelty"),
    },
    "segments": {
        "space": _TEXT,
        **_of(_INT, "segment size"),
        **_of(_TEXT, "country age_class"),
        "genres": pa.list_(_TEXT),
        "track_ids": _IDS,
        "track_titles": pa.list_(_TEXT),
        "track_probabilities": pa.list_(_REAL),
        "playlist_ids": _IDS,
        "playlist_titles": pa.list_(_TEXT),
        "playlist_probabilities": pa.list_(_REAL),
    },
    "calibration": {**_of(_TEXT, "space cohort against"), **_GROUP},
    "learning": {
        **_of(_TEXT, "space trained"),
        "epoch": _INT,
        **_of(_REAL, "train_loss validation_cosine validation_ndcg"),
        "kept": pa.bool_(),
    },
    "replay": {
        **_of(_TEXT, "space design measure arm"),
        **_of(_INT, "users displays successes"),
        **_of(_REAL, "rate low high relative relative_low relative_high"),
        **_of(_REAL, "p_value p_holm p_sample_ratio"),
    },
}
"""Columns and their Arrow types, table by table."""

NETWORK = "network"
"""What stands in ``learning.trained`` for the network; for a strategy's own state, its name."""

_IN_A_CELL = "; "


def _typed(values: list[Any], kind: pa.DataType) -> pa.Array:
    """A column; lists of ids have the type of the data set's ids."""
    if kind is _IDS and any(isinstance(one, str) for ids in values for one in ids or ()):
        kind = pa.list_(_TEXT)
    return pa.array(values, kind)


def assemble(name: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows as the columns of a table, with the same types as after reading it back."""
    rows = list(rows)
    return {
        column: _typed([row[column] for row in rows], kind).to_pylist()
        for column, kind in SCHEMAS[name].items()
    }


def results(
    rows: Sequence[Row], textbook: Iterable[tuple[Place, Summary]] = ()
) -> list[dict[str, Any]]:
    """The results table in long form: a row for each measure.

    Parameters
    ----------
    rows : sequence of Row
        The paper's measures.
    textbook : iterable of (Place, Summary)
        Further measures of the same lists; they follow the paper's.
    """
    further: dict[tuple[str, str, int], list[tuple[str, Summary]]] = {}
    for place, summary in textbook:
        of_list = further.setdefault((place.space, place.strategy, place.k), [])
        of_list.append((place.measure, summary))
    return [
        {
            "space": row.space,
            "strategy": row.strategy,
            "k": row.k,
            "measure": measure,
            "users": row.users,
            **asdict(summary),
        }
        for row in rows
        for measure, summary in (
            *((measure, getattr(row, measure)) for measure in MEASURES),
            *further.get((row.space, row.strategy, row.k), ()),
        )
    ]


def csv_bytes(table: Table) -> bytes:
    """A table as CSV: UTF-8, a header, ``.`` as the decimal sign, lines that end in a line feed.

    Numbers keep all their digits, None is an empty cell, and lists are separated by ``; ``. Control
    characters become visible signs, and text that a spreadsheet would take for a formula gets an
    apostrophe before it; the Parquet files have all text as it is.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([map(_cell, row) for row in zip(*table.values(), strict=True)])
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
        typed = {column: _typed(table[column], kind) for column, kind in SCHEMAS[name].items()}
        saved[paths.analysed(name)] = parquet_bytes(typed)
        saved[paths.csv(name)] = csv_bytes(table)
    return saved


def read_tables(saved: Mapping[str, bytes]) -> dict[str, Table]:
    """The tables out of what :func:`files_of` saved."""
    return {
        name: pq.read_table(io.BytesIO(saved[paths.analysed(name)])).to_pydict() for name in SCHEMAS
    }
