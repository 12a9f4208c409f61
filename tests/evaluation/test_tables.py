"""Tables as Parquet and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_coldstart.evaluation.protocol import MEASURES, Protocol
from gpu_coldstart.evaluation.tables import SCHEMAS, assemble, results
from gpu_coldstart.runs.tables import csv_bytes, files_of, read_tables

EXAMPLES: dict[Any, Any] = {
    pa.string(): 'Curaçao, "x"\n; ',
    pa.int64(): -(2**63),
    pa.float64(): 0.1 + 0.2,
    pa.bool_(): True,
    pa.list_(pa.string()): ["R&B", "中"],
    pa.list_(pa.int64()): [1, 2**62],
    pa.list_(pa.float64()): [],
}


def parsed(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def whole(rows: int) -> dict[str, Any]:
    """Every table with some rows of examples and one that knows nothing."""
    return {
        name: assemble(
            name,
            [{column: EXAMPLES[kind] for column, kind in schema.items()}] * rows
            + [dict.fromkeys(schema)] * min(rows, 1),
        )
        for name, schema in SCHEMAS.items()
    }


@pytest.mark.parametrize("rows", [0, 3])
def test_what_was_written_is_read(rows: int) -> None:
    tables = whole(rows)
    saved = files_of(tables)
    assert len(saved) == 2 * len(SCHEMAS)
    assert read_tables(saved) == tables
    assert files_of(read_tables(saved)) == saved
    for name, schema in SCHEMAS.items():
        stored = pq.read_schema(io.BytesIO(saved[f"artifacts/analysis/{name}.parquet"]))
        assert dict(zip(stored.names, stored.types, strict=True)) == schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_csv_says_the_same(name: str) -> None:
    table = whole(2)[name]
    content = csv_bytes(table)
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert not content.startswith(b"\xef\xbb\xbf")
    lines = parsed(content)
    assert lines[0] == list(SCHEMAS[name])
    assert len(lines) == 4
    assert set(lines[3]) <= {""}
    for column, cell in zip(lines[0], lines[1], strict=True):
        value = table[column][0]
        if isinstance(value, list):
            assert cell == "; ".join(map(str, value))
        elif isinstance(value, bool):
            assert cell == "true"
        elif isinstance(value, float):
            assert float(cell) == value
        else:
            assert cell == str(value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_csv_keeps_all_digits(values: list[float]) -> None:
    lines = parsed(csv_bytes({"x": values}))
    assert [float(line[0]) for line in lines[1:]] == values


def test_a_column_that_a_row_lacks_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="k"):
        assemble("results", [{"space": "s", "strategy": "a"}])


def test_numbers_of_any_kind_become_plain_ones() -> None:
    row = dict.fromkeys(SCHEMAS["learning"])
    table = assemble("learning", [row | {"space": "s", "epoch": np.int32(3), "kept": np.True_}])
    assert (table["epoch"], table["kept"]) == ([3], [True])
    assert type(table["epoch"][0]) is int


def test_results_are_the_rows_measure_by_measure() -> None:
    random = np.random.default_rng(0)
    measures = {("s", name): random.random((2, 3, 12)) for name in "ab"}
    protocol = Protocol(12, folds=3, bootstrap=10, seed=0)
    rows = protocol.rows(protocol.sample(measures, (5, 10)))
    table = assemble("results", results(rows))
    assert list(table) == list(SCHEMAS["results"])
    i = 0
    for row in rows:
        for measure in MEASURES:
            summary = getattr(row, measure)
            line = {name: column[i] for name, column in table.items()}
            assert line == {
                "space": "s",
                "strategy": row.strategy,
                "k": row.k,
                "measure": measure,
                "users": 12,
                "mean": summary.mean,
                "std": summary.std,
                "low": summary.low,
                "high": summary.high,
            }
            i += 1
    assert i == len(table["k"]) == 12
