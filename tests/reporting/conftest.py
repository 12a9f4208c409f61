"""A run with figures, on tables whose names would do harm as markup; and runs to compare."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.runs import FinishedRun, load_run
from gpu_coldstart.runs.store import RunDirectory
from gpu_coldstart.runs.tables import read_tables
from tests.runs.helpers import WORLD, column, command, events, synthetic, with_column, write

COUNTRIES = {
    "FR": "=<script>alert(1)\x01</script>",
    "BR": "$x_$ & 中",
    "DE": '"><\u202e\x0cmg src=x onerror=y>\u2066\x85\ufffe',
}
GENRE = "</td><b>&amp;\x00\x1b\u2028\ufeff"


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's directory: both spaces, two lengths of list, only to look at."""
    place = tmp_path_factory.mktemp("hostile")
    world = resolve(preset="tiny", settings={f"world.{k}": v for k, v in WORLD.items()}).world
    tables = generate(world, 0)
    for table, name, names in (("users", "country", COUNTRIES), ("tracks", "genre", {})):
        cells = column(tables[table], name)
        renamed = [names.get(cell, cell if table == "users" else GENRE) for cell in cells]
        changed = pa.array(renamed, pa.string())
        tables[table] = with_column(tables[table], name, changed)
    data = write(tables, place / "data")
    options = events(data, evaluation__figures="true", evaluation__k="5,10")
    result = command(*options, "--strategies", "popularity,full,semi", "--out", place / "run")
    assert result.status == 0, result.err
    assert not result.err
    return place / "run"


@pytest.fixture(scope="session")
def tables(hostile: Path) -> dict[str, Table]:
    """The run's evaluation."""
    return read_tables(RunDirectory.finished(hostile).read("analysis"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run, one with other segments, one on another world; only to look at."""
    place = tmp_path_factory.mktemp("runs")
    asked: dict[str, list[str]] = {
        "one": synthetic(evaluation__k="5,10"),
        "other": [*synthetic(segments__k="3"), "--strategies", "semi,popularity"],
        "world": [*synthetic(), "--seed", "1"],
    }
    for name, options in asked.items():
        few = ("--strategies", "popularity,semi", "--space", "tt-svd")
        result = command(*few, *options, "--out", place / name)
        assert result.status == 0, result.err
    return {name: place / name for name in asked}


@pytest.fixture(scope="session")
def loaded(runs: dict[str, Path]) -> dict[str, FinishedRun]:
    return {name: load_run(path) for name, path in runs.items()}
