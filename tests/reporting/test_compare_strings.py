"""Runs on data sets whose ids are strings, which only their names compare."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.evaluation.replay import cohorts
from gpu_coldstart.reporting.comparison import pairing
from gpu_coldstart.reporting.runs import load_run
from tests.reporting.reading import comparing
from tests.runs.helpers import WORLD, command, events, write
from tests.test_ids import with_strings

Tables = dict[str, pa.Table]


def with_strangers(tables: Tables) -> Tables:
    """A user and a track more, without events, whose ids sort before all others."""
    more = dict(tables)
    for table, column in (("users", "user_id"), ("tracks", "track_id")):
        row = tables[table].slice(0, 1)
        place = row.column_names.index(column)
        row = row.set_column(place, column, pa.array(["!"]))
        more[table] = pa.concat_tables([row, tables[table]])
    return more


def dealt(run: Path) -> list[int]:
    """How many users the replay dealt each arm."""
    with (run / "tables" / "replay.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["design"] == "cohorts"]
    return [int(row["users"]) for row in rows[:3]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Tables], Path]:
    place = tmp_path_factory.mktemp("strings")

    def run(name: str, tables: Tables) -> Path:
        data = write(tables, place / f"{name}-data")
        few = ("--strategies", "popularity", "--space", "tt-svd")
        result = command(*events(data), *few, "--out", place / name)
        assert result.status == 0, result.err
        return place / name

    return run


def test_runs_are_paired_by_names(ran: Callable[[str, Tables], Path]) -> None:
    world = resolve(preset="tiny", settings={f"world.{k}": v for k, v in WORLD.items()}).world
    plain = generate(world, 0)
    tables = with_strings(plain, "user", "track")
    one, more, numbers = (
        ran("one", tables),
        ran("more", with_strangers(tables)),
        ran("numbers", plain),
    )
    result = comparing(one, more, numbers)
    assert result.status == 0, result.err
    first, second, third = map(load_run, (one, more, numbers))
    n = len(first.user_ids)
    assert f"more: paired over the {n} users that both have" in result.out
    assert "numbers: unpaired" in result.out
    assert all(isinstance(each, str) for each in first.user_ids)
    assert first.truth == second.truth
    assert all(isinstance(track, str) for tracks in first.truth for track in tracks)
    for run in (first, second):
        assert dealt(run.path) == np.bincount(cohorts(run.user_ids, 3, 0), minlength=3).tolist()
    assert not pairing(first, replace(second, truth=third.truth)).paired
