"""What a cold user does after registration day reaches the ground truth and nothing else.

Early stopping reads the validation users' truth, by design: hyper-parameters are chosen on them.
So for test users nothing else may change at all; for validation users the same holds with
``mlp.patience = 0``, but for the curve that tells how training went.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Set
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.runs.artifacts import decode
from tests.builtin import EVERY_STRATEGY
from tests.runs.changes import (
    Row,
    add_everything,
    add_streams,
    alter,
    delete_most,
    later,
)
from tests.runs.helpers import (
    MEASURED_IN,
    Tables,
    column,
    differing,
    learned,
    members,
    registration_days,
    results,
    rows_of,
    table_of,
    tabled,
)
from tests.runs.on_tables import CHEAP, EVERY, LOGS, beyond_the_logs, cold_rows, ran

TRUTH = "artifacts/truth.safetensors"
FUTURE = {"tracks": "truth", "favorites": "truth_favorites", "playlists": "truth_playlists"}
"""Fields of the ground truth, and what they are called here."""

OF_USERS = {"n_target", "user_ids", "age", "country", "registration", "signals"}
"""Fields of the logs with a row for each user."""
PER_USER = re.compile(r"/predictions\.safetensors$")
"""Files, besides recommendations, with a row for each target user."""

TUNED = (
    *("mixture", "neighbours", "ridge", "gate", "track-softmax", "item-item"),
    *("dropoutnet-full", "dropoutnet-semi", "melu-full", "melu-semi"),
    *("heater", "clcrec", "gar", "aldi"),
)
"""Strategies that choose among settings, or epochs, by the validation users, or follow one."""
CURVES = {
    f"artifacts/{space}/{name}"
    for space in ("tt-svd", "ut-als")
    for name in ("network.json", *(f"{name}.state.safetensors" for name in TUNED))
}
JUDGED = {
    *tabled("sizes", "results", "comparisons", "strata", "segment-quality", "examples"),
    *tabled("replay", "new-releases"),
    *(f"artifacts/{space}/examples.parquet" for space in ("tt-svd", "ut-als")),
}
"""What tells how much there was to find, and how good recommendations and carousels were."""
UNTAUGHT = ("--strategies", ",".join(name for name in EVERY_STRATEGY if name != "best"))
"""All that learn nothing from the validation users but which of some settings to keep."""
PATIENT: dict[str, Any] = {
    "mlp__patience": 0,
    "strategies__gate_patience": 0,
    "strategies__track_softmax_patience": 0,
    "strategies__dropoutnet_full_patience": 0,
    "strategies__melu_full_patience": 0,
    "strategies__heater_patience": 0,
    "strategies__clcrec_patience": 0,
    "strategies__gar_patience": 0,
    "strategies__aldi_patience": 0,
    "strategies__ridge_strengths": 0.1,
    "strategies__ridge_routes": "places",
    "strategies__ridge_place_strengths": 0.001,
    "strategies__ridge_targets": "all",
    "strategies__mixture_sharpnesses": 1.0,
    "strategies__neighbours_sharpnesses": 1.0,
    "strategies__item_item_shrinkages": 1.0,
}
PLACED = tabled("calibration", "learning", "sizes")
"""What tells how much validation users went on to stream, and how near predictions come to it."""


def arrays(value: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a dataclass of arrays and matrices, one by one."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            found |= arrays(inner, f"{prefix}{field.name}.")
        else:
            found[f"{prefix}{field.name}"] = inner
    return found


def changed_logs(one: Path, other: Path) -> set[str]:
    """Names of the logs' fields that differ between two runs."""
    mine, theirs = (
        arrays(decode(CpuEngine(), learned(out)[LOGS], Logs))
        | {
            FUTURE[name.split(".")[0]] + name[len(name.split(".")[0]) :]: value
            for name, value in arrays(decode(CpuEngine(), learned(out)[TRUTH], GroundTruth)).items()
            if name.split(".")[0] in FUTURE
        }
        for out in (one, other)
    )
    assert set(mine) == set(theirs)
    return {
        name
        for name in mine
        if not (
            np.array_equal(mine[name], theirs[name], equal_nan=mine[name].dtype.kind == "f")
            if hasattr(mine[name], "dtype")
            else mine[name] == theirs[name]
        )
    }


def only_truth_differs(one: Path, other: Path, *, besides: Set[str] = JUDGED) -> None:
    """Check that two runs differ in the truth, in the measures against it, and nowhere else."""
    fields = changed_logs(one, other)
    changed = {name.split(".")[0] for name in fields}
    assert "truth" in changed, "nothing was changed"
    assert changed <= {"truth", "truth_favorites", "truth_playlists"}
    files = differing(learned(one), learned(other)) - {TRUTH} - besides
    assert {name for name in files if not name.endswith(MEASURED_IN)} == set()


CHANGES = [delete_most, add_streams, add_everything, alter]


@pytest.fixture(scope="module")
def patient(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trains to the end and tunes nothing, whatever the validation users do."""
    return ran(tables, tmp_path_factory.mktemp("patient"), *UNTAUGHT, **PATIENT)


@pytest.mark.parametrize("change", CHANGES)
def test_the_future_of_test_users_is_truth_alone(
    tables: Tables, plain: Path, tmp_path: Path, change: Callable[..., list[Row]]
) -> None:
    table = tables["interactions"]
    rows = change(rows_of(table), later(tables, "test"), tables)
    other = ran(tables | {"interactions": table_of(rows, table)}, tmp_path, *EVERY)
    only_truth_differs(plain, other)
    assert results(plain)["rows"] != results(other)["rows"]
    assert tabled("replay") <= differing(learned(plain), learned(other))
    if change is add_everything:
        fields = {name.split(".")[0] for name in changed_logs(plain, other)}
        assert fields == {"truth", "truth_favorites", "truth_playlists"}


@pytest.mark.parametrize("change", CHANGES)
def test_the_future_of_validation_users_is_truth_alone(
    tables: Tables, patient: Path, tmp_path: Path, change: Callable[..., list[Row]]
) -> None:
    table = tables["interactions"]
    rows = change(rows_of(table), later(tables, "validation"), tables)
    other = ran(tables | {"interactions": table_of(rows, table)}, tmp_path, *UNTAUGHT, **PATIENT)
    only_truth_differs(patient, other, besides=CURVES | PLACED)
    assert results(patient)["rows"] == results(other)["rows"]
    assert not tabled("replay") & differing(learned(patient), learned(other))


def test_the_future_of_validation_users_stops_training_and_no_more(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    """With patience it may choose the epoch; spaces and segments never depend on it."""
    table = tables["interactions"]
    rows = alter(rows_of(table), later(tables, "validation"), tables)
    other = ran(tables | {"interactions": table_of(rows, table)}, tmp_path, *EVERY)
    files = differing(learned(plain), learned(other))
    for space in ("tt-svd", "ut-als"):
        for name in ("space.safetensors", "segments.safetensors", "segments.parquet"):
            assert f"artifacts/{space}/{name}" not in files
        for strategy in ("popularity", "registration-day", "input-features"):
            assert f"recommendations/{space}/{strategy}.parquet" not in files


def test_registration_day_itself_does_count(tables: Tables, plain: Path, tmp_path: Path) -> None:
    """The comparison sees a change that matters: the same alterations, a day earlier."""
    ends = registration_days(tables["users"])
    test = members(tables["users"], "test")
    table = tables["interactions"]
    rows = alter(
        rows_of(table),
        lambda row: row["user_id"] in test and row["timestamp"] < ends[row["user_id"]] - _SECOND,
        tables,
    )
    other = ran(tables | {"interactions": table_of(rows, table)}, tmp_path, *EVERY)
    assert {name.split(".")[0] for name in changed_logs(plain, other)} == DAY_ONE
    files = differing(learned(plain), learned(other))
    assert "recommendations/tt-svd/registration-day.parquet" in files
    assert "recommendations/tt-svd/full.parquet" in files
    assert "artifacts/tt-svd/network.safetensors" not in files


_SECOND = timedelta(seconds=2)
DAY_ONE = {"registration", "signals"}
"""What the logs keep of registration day."""


def test_the_last_moment_of_the_day_counts_and_the_next_does_not(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    user = min(members(tables["users"], "test"))
    end = registration_days(tables["users"])[user]
    track = column(tables["tracks"], "track_id")[0]
    table = tables["interactions"]
    found = {}
    for name, moment in (("last", end - timedelta(microseconds=1)), ("next", end)):
        row = {**rows_of(table.slice(0, 1))[0], "user_id": user, "timestamp": moment, "count": 77}
        row |= {"action": "stream", "entity": "track", "entity_id": track}
        changed = tables | {"interactions": table_of([*rows_of(table), row], table)}
        found[name] = changed_logs(
            plain, ran(changed, tmp_path / name, "--space", "tt-svd", *EVERY)
        )
    assert {field.split(".")[0] for field in found["last"]} == DAY_ONE
    assert {field.split(".")[0] for field in found["next"]} == {"truth"}


# -- who does not count at all -----------------------------------------------------------------


def test_target_users_are_recommended_to_and_leave_no_other_trace(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    """Cold users without truth, or of the cohort itself, however active on their first day."""
    ends = registration_days(tables["users"])
    first = min(ends[user] for user in members(tables["users"], "test"))
    tracks = column(tables["tracks"], "track_id")
    users = tables["users"]
    strangers = [-1, -2, 2**62]
    new = [
        {**rows_of(users.slice(0, 1))[0], "user_id": user, "split": split, "age": 99}
        | {"registered_at": first - timedelta(hours=5), "country": "ZZ"}
        for user, split in zip(strangers, ("test", "validation", "target"), strict=True)
    ]
    table = tables["interactions"]
    more = [
        {**rows_of(table.slice(0, 1))[0], "user_id": user, "entity_id": track, "count": 500}
        | {"action": action, "entity": "track", "timestamp": first - timedelta(hours=4)}
        for user in strangers
        for track in tracks[:40]
        for action in ("stream", "favorite")
    ]
    changed = tables | {
        "users": table_of([*new, *rows_of(users)], users),
        "interactions": table_of([*more, *rows_of(table)], table),
    }
    other = ran(changed, tmp_path, *EVERY)
    # What is learned stays the same; of the logs, only what lists all users has more of them.
    fields = {name.split(".")[0] for name in changed_logs(plain, other)}
    assert fields <= {"notes", "countries", *OF_USERS}
    assert {"n_target", "notes"} <= fields
    files = differing(learned(plain), learned(other))
    lists = {name for name in files if name.startswith("recommendations/")}
    assert {name for name in files - lists - {LOGS, TRUTH} if not PER_USER.search(name)} == set()
    assert lists == {name for name in learned(plain) if name.startswith("recommendations/")}
    for name in lists:
        mine, theirs = pq.read_table(plain / name), pq.read_table(other / name)
        cohort = theirs["cohort"].cast("string")
        assert theirs.filter(pc.equal(cohort, "test")).equals(mine)
        added = theirs.filter(pc.not_equal(cohort, "test"))
        assert set(column(added, "cohort")) == {"target"}
        assert set(column(added, "user_id")) == set(strangers)
    assert results(plain)["rows"] == results(other)["rows"]
    more_warnings = set(results(other)["warnings"]) - set(results(plain)["warnings"])
    assert {note[:12] for note in more_warnings} == {"2 cold users"}
    assert [note[:14] for note in results(other)["notes"]] == ["3 target users"]


# -- warm users --------------------------------------------------------------------------------


def test_warm_users_tell_nothing_of_the_cold_users_days(
    tables: Tables, plain: Path, tmp_path: Path
) -> None:
    """Their events after the first cold registration day are left out and counted."""
    warm = sorted(members(tables["users"], "warm"))[:30]
    first = min(column(tables["users"], "registered_at")[row] for row in cold_rows(tables))
    track = column(tables["tracks"], "track_id")[0]
    table = tables["interactions"]
    more = [
        {**rows_of(table.slice(0, 1))[0], "user_id": user, "entity_id": track, "count": 500}
        | {"action": "stream", "entity": "track", "timestamp": first + timedelta(days=2)}
        for user in warm
    ]
    changed = tables | {"interactions": table_of([*rows_of(table), *more], table)}
    other = ran(changed, tmp_path, *EVERY)
    assert changed_logs(plain, other) == {"notes"}
    assert beyond_the_logs(plain, other) == set()
    assert any(note.startswith("30 of ") for note in results(other)["warnings"])
    kept = ran(changed, tmp_path / "kept", *CHEAP, split__warm_until="all")
    assert "artifacts/tt-svd/space.safetensors" in beyond_the_logs(plain, kept)


# -- split by date -----------------------------------------------------------------------------


def test_the_future_is_truth_alone_where_dates_split(tables: Tables, tmp_path: Path) -> None:
    """Without a split column the end of the logs decides who is cold; nothing else does."""
    dated = tables | {"users": tables["users"].drop_columns(["split"])}
    one = ran(dated, tmp_path / "one", split__cold_share=0.4)
    assert "split by time" in results(one)["split"]
    found = decode(CpuEngine(), learned(one)[LOGS], Logs)
    test = set(found.user_ids[found.users("test")].tolist())
    ends = registration_days(tables["users"])
    table = tables["interactions"]
    end = max(row["timestamp"] for row in rows_of(table))

    def chosen(row: Row) -> bool:
        return (
            row["user_id"] in test
            and row["timestamp"] >= ends[row["user_id"]]
            and row["timestamp"] < end - timedelta(days=1)
        )

    rows = alter(rows_of(table), chosen, tables)
    changed = dated | {"interactions": table_of(rows, table)}
    other = ran(changed, tmp_path / "other", split__cold_share=0.4)
    only_truth_differs(one, other)
