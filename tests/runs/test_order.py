"""The order of rows, columns and names never matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.runs.helpers import Tables, learned, refused, results, rows_of, table_of, with_column
from tests.runs.on_tables import EVERY, ran, run_on


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_rows_never_matters(
    tables: Tables, plain: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shuffled = {
        name: table.take(pa.array(rng.permutation(table.num_rows)))
        for name, table in tables.items()
    }
    other = ran(shuffled, tmp_path, *EVERY)
    assert learned(plain) == learned(other)
    assert results(plain)["rows"] == results(other)["rows"]


def test_splitting_counts_over_rows_never_matters(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    """An event of count 3 is three events."""
    table = tables["interactions"]
    rows = []
    for row in rows_of(table):
        rows += [{**row, "count": 1}] * min(row["count"], 50) if row["count"] <= 50 else [row]
    rows = [row for row in rows if row["count"]]
    other = ran(tables | {"interactions": table_of(rows, table)}, tmp_path, *EVERY)
    assert learned(plain) == learned(other)


def test_an_order_of_columns_and_names_never_matters(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    changed = {
        name: table.select(list(reversed(table.column_names))) for name, table in tables.items()
    }
    users = changed["users"]
    changed["users"] = with_column(users, "note", ["x"] * users.num_rows)
    assert learned(plain) == learned(ran(changed, tmp_path, *EVERY))


def test_unwanted_words_are_refused_not_ignored(tables: Tables, tmp_path: Path) -> None:
    """An event cannot hide from these rules behind another spelling."""
    table = tables["interactions"]
    rows = rows_of(table)
    rows[3] |= {"action": "Stream"}
    changed = tables | {"interactions": table_of(rows, table)}
    refused(run_on(changed, tmp_path), "'Stream'")
