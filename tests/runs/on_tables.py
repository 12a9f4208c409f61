"""Runs on tables that a test has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.builtin import EVERY_STRATEGY
from tests.runs.helpers import (
    Result,
    Tables,
    column,
    command,
    differing,
    events,
    learned,
    refused,
    results,
    rows_of,
    write,
)

Spoil = Callable[[Tables], None]
LOGS = "artifacts/logs.safetensors"
CHEAP = ("--space", "tt-svd", "--strategies", "semi")
EVERY = ("--strategies", ",".join(EVERY_STRATEGY))


def run_on(tables: Mapping[str, pa.Table], place: Path, *options: str, **changes: Any) -> Result:
    """Run on tables, from ``place/data`` into ``place/run``."""
    data = write(tables, place / "data")
    return command(*events(data, **changes), *options, "--out", place / "run")


def ran(tables: Mapping[str, pa.Table], place: Path, *options: str, **changes: Any) -> Path:
    """Run on tables that will do; returns the run's directory."""
    result = run_on(tables, place, *options, **changes)
    assert result.status == 0, result.err
    return place / "run"


def refused_on(tables: Tables, place: Path, *words: str, **changes: Any) -> str:
    """Check that tables are refused with the words and that nothing is left."""
    sentence = refused(run_on(tables, place, **changes), *words)
    assert not (place / "run").exists()
    return sentence


def table_on(tables: Tables, place: Path, *options: str, **changes: Any) -> dict[str, Any]:
    """Run on tables that will do; returns the results."""
    content = results(ran(tables, place, *options, **changes))
    assert content["rows"]
    for row in content["rows"]:
        assert all(0 <= row[measure] <= 1 for measure in ("precision", "recall", "ndcg"))
    return content


def noted(content: dict[str, Any], words: str) -> str:
    """The one warning that has the words."""
    found = [note for note in content["warnings"] if words in note]
    assert len(found) == 1, content["warnings"]
    return str(found[0])


def kept(table: pa.Table, keep: Callable[[dict[str, Any]], bool]) -> pa.Table:
    """The rows of a table that are wanted."""
    return table.filter(pa.array([keep(row) for row in rows_of(table)], pa.bool_()))


def beyond_the_logs(one: Path, other: Path) -> set[str]:
    """Names of what two runs learned differently, but for the logs themselves."""
    return differing(learned(one), learned(other)) - {LOGS}


def cold_rows(tables: Tables) -> list[int]:
    """Rows of the users who are not warm."""
    splits = column(tables["users"], "split")
    return [row for row, split in enumerate(splits) if split != "warm"]
