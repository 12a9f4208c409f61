"""Registration days as tables again: the events that went in, and the same lists."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.first_day import first_day
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from gpu_coldstart.engine import Engine
from gpu_coldstart.spaces import silent
from tests.runs.helpers import Tables, with_column
from tests.runs.served import first_day as raw_first_day

KNOWN = {(signal.action, signal.entity) for signal in SIGNALS}
IDS = {"tracks": "track_id", "interactions": "entity_id", "playlists": "track_id"}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return generate(PRESETS["tiny"], 3)


def with_text_ids(tables: Tables) -> Tables:
    """Ids of tracks and users as strings; those of artists, albums and playlists stay numbers."""
    changed = dict(tables)
    for name, column in IDS.items():
        changed[name] = with_column(changed[name], column, changed[name][column].cast("string"))
    for name in ("users", "interactions"):
        ids = pa.array([f"u{each}" for each in changed[name]["user_id"].to_pylist()])
        changed[name] = with_column(changed[name], "user_id", ids)
    return changed


def counted(interactions: pa.Table) -> Counter[tuple[Any, ...]]:
    """Events by user, action and entity."""
    total: Counter[tuple[Any, ...]] = Counter()
    for row in interactions.to_pylist():
        key = (row["user_id"], row["action"], row["entity"], row["entity_id"])
        total[key] += row.get("count") or 1
    return total


@pytest.mark.parametrize("cohort", ["validation", "test"])
@pytest.mark.parametrize("text", [False, True])
def test_it_is_what_went_in(engine: Engine, tables: Tables, cohort: str, text: bool) -> None:
    given = with_text_ids(tables) if text else tables
    twice = pa.concat_tables([given["interactions"], given["interactions"].slice(0, 5000)])
    given = given | {"interactions": twice}
    config = resolve(preset="tiny")
    logs, _ = Dataset.from_frames(**given).index(engine, config, silent)
    users, interactions = first_day(engine, logs, cohort)
    wanted_users, wanted = raw_first_day(given, cohort)
    order = [("user_id", "ascending")]
    wanted_users = wanted_users.select(users.column_names).sort_by(order)
    assert users.sort_by(order).to_pylist() == wanted_users.to_pylist()
    known = [(row["action"], row["entity"]) in KNOWN for row in wanted.to_pylist()]
    assert counted(interactions) == counted(wanted.filter(pa.array(known)))
    assert len(interactions) > 100
    assert pc.min(interactions["count"]).as_py() >= 1


@pytest.mark.parametrize("text", [False, True])
def test_when_users_registered(engine: Engine, tables: Tables, text: bool) -> None:
    given = with_text_ids(tables) if text else tables
    ids, days = Dataset.from_frames(**given).registered(engine)
    found = dict(zip(ids.to_pylist(), days.tolist(), strict=True))
    rows = given["users"].select(["user_id", "registered_at"]).to_pylist()
    first = date(1970, 1, 1)
    assert found == {row["user_id"]: (row["registered_at"].date() - first).days for row in rows}


def test_a_cohort_without_users_has_no_events(engine: Engine, tables: Tables) -> None:
    logs, _ = Dataset.from_frames(**tables).index(engine, resolve(preset="tiny"), silent)
    assert logs.n_target == 0
    users, interactions = first_day(engine, logs, "target")
    assert len(users) == len(interactions) == 0
