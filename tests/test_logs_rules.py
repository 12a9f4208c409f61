"""Who and what counts: cohorts, unknown ids, the split by time, playlists, no leak."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data import catalogue
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.artifacts import encode
from tests.expectations import expect
from tests.test_logs import CONFIGS, check, config_of, ids, small, usable
from tests.worlds import (
    START_DAY,
    Raw,
    Row,
    at,
    event,
    some_world,
    sparse_rows,
    stream,
    types,
    user,
)

# -- who counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [0, 1])
def test_cold_users_without_truth_are_targets(engine: Engine, least: int) -> None:
    raw = small()
    raw.users.append(user(7, 11, "test"))
    raw.interactions.append(stream(7, 11, 50))
    logs, truth = raw.indexed(engine, config_of(min_truth=least))
    assert engine.to_host(logs.user_ids).tolist() == [1, 2, 3, 8, 9, 7]
    assert engine.to_host(truth.user_ids).tolist() == [8, 9]
    assert (logs.n_test, logs.n_target, logs.users("target")) == (1, 1, slice(5, 6))
    assert logs.users("test", "target") == slice(4, 6)
    assert any("1 cold users streamed no track" in note for note in logs.notes)
    with pytest.raises(UserError, match="leaves no validation users"):
        raw.logs(engine, config_of(min_truth=2))


def test_a_split_may_name_targets(engine: Engine) -> None:
    raw = small()
    raw.users.append(user(4, 10, "target"))
    raw.interactions += [stream(4, 10, 70), stream(4, 11, 50)]
    logs, truth = raw.indexed(engine)
    assert engine.to_host(logs.user_ids).tolist() == [1, 2, 3, 8, 9, 4]
    assert truth.tracks.shape[0] == 2
    assert not any("not measured" in note for note in logs.notes)


@pytest.mark.parametrize("n", [3, 7, 30])
def test_some_warm_users_may_be_drawn(engine: Engine, n: int) -> None:
    raw = some_world(2, n_users=30)
    everybody = raw.logs(engine, config_of(warm_until="all"))
    warm = engine.to_host(everybody.user_ids)[: everybody.n_warm].tolist()
    logs, truth = raw.indexed(engine, config_of(warm_until="all", warm_users=n))
    drawn = engine.to_host(logs.user_ids)[: logs.n_warm].tolist()
    assert len(drawn) == min(n, len(warm))
    assert set(drawn) <= set(warm)
    dropped = set(warm) - set(drawn)
    raw.users = [row for row in raw.users if row["user_id"] not in dropped]
    raw.interactions = [row for row in raw.interactions if row["user_id"] not in dropped]
    again, later = raw.indexed(engine, config_of(warm_until="all"))
    for name in ("members", "registration", "history", "favorites", "plays", "month"):
        one, other = (sparse_rows(getattr(each, name), engine) for each in (logs, again))
        assert one == other, name
    assert encode(engine, later) == encode(engine, truth)
    said = f"{n} of {len(warm)} warm users drawn; the others are left out (split.warm_users)"
    assert (said in logs.notes) == (n < len(warm))


def test_truth_counts_distinct_tracks(engine: Engine) -> None:
    raw = small()
    raw.interactions += [stream(8, 13, 50), stream(9, 12, 60, count=5), stream(9, 13, 60)]
    with pytest.raises(UserError, match="leaves no test users"):
        raw.logs(engine, config_of(min_truth=2))
    raw.interactions.append(stream(9, 13, 50))
    assert raw.logs(engine, config_of(min_truth=2)).n_test == 1


def test_warm_users_who_never_streamed_are_left_out(engine: Engine) -> None:
    raw = small()
    raw.users.append(user(4, 1, "warm"))
    raw.interactions.append(event(4, 1, "favorite", "track", 50))
    logs = raw.logs(engine)
    assert logs.n_warm == 3
    assert any("1 warm users never streamed" in note for note in logs.notes)


@pytest.mark.parametrize("missing", ["warm", "validation", "test"])
def test_every_cohort_must_have_somebody(engine: Engine, missing: str) -> None:
    raw = small()
    raw.users = [row for row in raw.users if row["split"] != missing]
    kept = {row["user_id"] for row in raw.users}
    raw.interactions = [row for row in raw.interactions if row["user_id"] in kept]
    with pytest.raises(UserError, match=f"leaves no {missing} users"):
        raw.logs(engine)


def test_one_warm_user_is_too_few(engine: Engine) -> None:
    raw = small()
    kept = next(row["user_id"] for row in raw.users if row["split"] == "warm")
    raw.users = [row for row in raw.users if row["split"] != "warm" or row["user_id"] == kept]
    there = {row["user_id"] for row in raw.users}
    raw.interactions = [row for row in raw.interactions if row["user_id"] in there]
    with pytest.raises(UserError, match="leaves one warm user, too few to train on: give"):
        raw.logs(engine)


# -- unknown ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        stream(77, 5, 50),
        stream(1, 5, 51),
        event(1, 5, "favorite", "artist", 3),
        event(1, 5, "favorite", "album", 1),
        event(1, 5, "favorite", "playlist", 99),
    ],
    ids=["user", "track", "artist", "album", "playlist"],
)
def test_unknown_ids_are_dropped_and_counted(engine: Engine, odd: dict[str, Any]) -> None:
    raw = small()
    raw.playlists = [{"playlist_id": 1, "track_id": 50}]
    before = raw.logs(engine)
    raw.interactions += [odd] * 7
    after = raw.logs(engine)
    assert after.notes == ("7 of 14 interactions name unknown users or entities; left out",)
    assert encode(engine, dataclasses.replace(after, notes=())) == encode(engine, before)
    raw.interactions.insert(0, odd)
    with pytest.raises(UserError) as caught:
        raw.logs(engine)
    column = "user_id" if odd["user_id"] == 77 else "entity_id"
    for word in ("8 of 15", f"{odd[column]} in interactions, column '{column}', row 0"):
        assert word in str(caught.value)


def test_playlist_events_without_playlists_are_counted_apart(engine: Engine) -> None:
    raw = small()
    raw.interactions += [event(1, 5, "favorite", "playlist", 99)] * 20
    logs = raw.logs(engine)
    assert [note for note in logs.notes if note.startswith("20 interactions name playlists")]


def test_playlist_rows_with_unknown_tracks(engine: Engine) -> None:
    raw = small()
    raw.playlists = [
        {"playlist_id": 1, "track_id": 50},
        {"playlist_id": 1, "track_id": 50},
        {"playlist_id": 2, "track_id": 51},
        {"playlist_id": 1, "track_id": 52},
    ]
    logs = raw.logs(engine)
    assert any("2 of 4 playlist rows name unknown tracks" in note for note in logs.notes)
    check(engine, raw.indexed(engine), expect(raw, Config()))
    raw.playlists.append({"playlist_id": 1, "track_id": 53})
    with pytest.raises(UserError, match="playlists, column 'track_id': 3 of 5"):
        raw.logs(engine)


# -- the split rule --------------------------------------------------------------------------------


def by_time(registered: list[int], last_day: int) -> Raw:
    """Users 0, 1, ... registered on the given days; all stream daily for three days."""
    users = [user(number, day) for number, day in enumerate(registered)]
    interactions = [
        stream(number, day + after, after)
        for number, day in enumerate(registered)
        for after in range(3)
        if day + after <= last_day
    ]
    interactions.append(stream(0, last_day, 0))
    return Raw(users, [{"track_id": number} for number in range(3)], interactions)


def test_split_by_time(engine: Engine) -> None:
    # Day 20 is the last with 10 days on record after it; ten users registered up to then.
    raw = by_time([0, 20, 3, 21, 5, 6, 18, 8, 18, 9, 20, 30], 30)
    config = config_of(truth_days=10, cold_share=0.4, warm_until="all")
    logs = raw.logs(engine, config)
    # The last 40 % of the ten: those of days 18, 18, 20 and 20, in turn by id.
    # The two who registered later are targets.
    assert engine.to_host(logs.user_ids).tolist() == [0, 2, 4, 5, 7, 9, 1, 8, 6, 10, 3, 11]
    assert (logs.n_warm, logs.n_validation, logs.n_test, logs.n_target) == (6, 2, 2, 2)
    for word in (day_name(START_DAY + 18), day_name(START_DAY + 20), "2 registered later"):
        assert word in logs.split_rule
    # A day is never cut in two: 30 % would be three users, so a fourth of day 18 joins.
    logs = raw.logs(engine, config_of(truth_days=10, cold_share=0.3, warm_until="all"))
    assert logs.n_warm == 6
    logs = raw.logs(engine, config_of(truth_days=10, cold_share=0.2, warm_until="all"))
    assert engine.to_host(logs.user_ids)[logs.n_warm :].tolist() == [1, 10, 3, 11]


def test_split_by_time_needs_long_logs(engine: Engine) -> None:
    raw = by_time([0, 1, 2], 9)
    with pytest.raises(UserError, match=r"split\.truth_days"):
        raw.logs(engine, config_of(truth_days=10))


def test_given_split_is_said(engine: Engine) -> None:
    assert "as the table of users says" in small().logs(engine).split_rule


def test_day_name() -> None:
    assert day_name(0) == "1970-01-01"
    assert day_name(START_DAY) == "2020-11-01"


# -- which warm events count -----------------------------------------------------------------------


def test_warm_until(engine: Engine) -> None:
    raw = small()
    raw.interactions += [
        stream(1, 10, 70),
        stream(1, 11, -7),
        event(2, 11, "favorite", "track", 50),
    ]

    def streams(until: str) -> set[int]:
        logs = raw.logs(engine, config_of(warm_until=until))
        track_ids = ids(engine, logs)
        return {track_ids[j] for j in sparse_rows(logs.history, engine)[0]}

    assert streams("all") == {50, 60, 70, -7}
    assert streams("first-cold-day") == {50, 60, 70}  # that day itself counts
    assert streams("auto") == {50, 60, 70}
    logs = raw.logs(engine)
    assert any("2 of 7 events of warm users come after" in note for note in logs.notes)
    assert logs.favorites.nnz == 0
    # Were most of them lost, they are kept, with a warning.
    raw.interactions += [stream(1, 12, -7), stream(1, 13, -7), stream(1, 14, -7)]
    assert streams("auto") == {50, 60, 70}  # five of ten are not most
    raw.interactions.append(stream(1, 15, -7))
    assert streams("auto") == {50, 60, 70, -7}
    assert streams("first-cold-day") == {50, 60, 70}
    notes = raw.logs(engine).notes
    assert any(note.startswith("warning") and "6 of 11" in note for note in notes)


def test_who_has_truth_does_not_move_the_cut(engine: Engine) -> None:
    raw = small()
    raw.users.append(user(7, 8, "test"))  # the first cold user
    raw.interactions.append(stream(1, 9, 70))
    config = config_of(warm_until="first-cold-day")
    without = raw.logs(engine, config)
    raw.interactions.append(stream(7, 9, 60))
    assert raw.logs(engine, config).n_test == without.n_test + 1
    assert without.history.nnz == raw.logs(engine, config).history.nnz == 4


# -- playlists with owners and dates ---------------------------------------------------------------


def listed(engine: Engine, raw: Raw, *playlists: dict[str, Any], until: str = "auto") -> set[int]:
    """Playlists that have tracks in the logs."""
    raw.playlists = [
        {"user_id": None, "created_at": None, "track_id": 50, **row} for row in playlists
    ]
    logs = raw.logs(engine, config_of(warm_until=until))
    rows = sparse_rows(logs.members, engine)[logs.playlists]
    numbers = engine.to_host(logs.playlist_ids).tolist()
    return {number for number, row in zip(numbers, rows, strict=True) if row}


def test_playlists_of_cold_users_do_not_count(engine: Engine) -> None:
    raw = small()
    raw.users += [
        user(6, 10, "test"),
        user(5, 1, "warm"),
    ]  # a target, for want of truth; left out, for want of streams
    raw.interactions.append(event(5, 1, "search", "track", 50))
    owners = {101: 1, 108: 8, 109: 9, 106: 6, 105: 5, 177: 77, 100: None}
    rows = [{"playlist_id": number, "user_id": owner} for number, owner in owners.items()]
    assert listed(engine, raw, *rows) == {100, 101}
    notes = raw.logs(engine).notes
    assert any("5 of 7 playlist rows" in note for note in notes)


@pytest.mark.parametrize("late_events", [True, False])
def test_playlists_made_later_do_not_count(engine: Engine, late_events: bool) -> None:
    raw = small()
    if late_events:
        raw.interactions.append(stream(1, 12, -7))
    rows: list[Row] = [
        {"playlist_id": 1, "created_at": at(10, 86_399)},
        {"playlist_id": 2, "created_at": at(11)},
        {"playlist_id": 3},
    ]
    assert listed(engine, raw, *rows) == {1, 3}
    assert listed(engine, raw, *rows, until="first-cold-day") == {1, 3}
    assert listed(engine, raw, *rows, until="all") == {1, 2, 3}


# -- no leak ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("until", ["all", "first-cold-day", "auto"])
def test_what_cold_users_do_later_reaches_the_truth_only(
    engine: Engine, seed: int, until: str
) -> None:
    raw, config = some_world(seed, n_users=24), config_of(warm_until=until)
    cold = {row["user_id"]: row for row in raw.users if row["split"] != "warm"}
    assert usable(expect(raw, config))
    before, truth = raw.indexed(engine, config)
    for row in raw.users:
        if row["user_id"] in cold:
            day = (row["registered_at"] - at(0)).days
            for track in raw.tracks[::2]:  # everything happens, and a lot of it
                raw.interactions.append(
                    stream(row["user_id"], day + 3, track["track_id"], count=50)
                )
            for action in ("skip", "favorite", "ban", "search"):
                raw.interactions.append(
                    event(row["user_id"], day + 1, action, "track", raw.tracks[0]["track_id"])
                )
            for playlist in (raw.playlists or ())[:2]:
                for action in ("stream", "favorite", "search"):
                    raw.interactions.append(
                        event(row["user_id"], day + 2, action, "playlist", playlist["playlist_id"])
                    )
            raw.interactions.append(stream(row["user_id"], day + 99, raw.tracks[1]["track_id"]))
    after, later = raw.indexed(engine, config)
    for name in ("tracks", "favorites", "playlists"):
        assert getattr(later, name).nnz > getattr(truth, name).nnz
    assert encode(engine, dataclasses.replace(after, notes=before.notes)) == encode(engine, before)


@pytest.mark.parametrize("seed", range(10, 13))
def test_warm_events_after_the_first_cold_day_change_nothing(engine: Engine, seed: int) -> None:
    raw = some_world(seed, split=False, n_users=30)
    config = config_of(warm_until="first-cold-day", truth_days=5)
    before = raw.logs(engine, config)
    last = max(row["timestamp"] for row in raw.interactions)
    warm = engine.to_host(before.user_ids)[: before.n_warm].tolist()
    moment = (last - at(0)).days
    for who in warm:
        raw.interactions.append(stream(who, moment, raw.tracks[0]["track_id"], count=9))
        raw.interactions.append(event(who, moment, "favorite", "track", raw.tracks[1]["track_id"]))
    after = raw.logs(engine, config)
    assert after.notes != before.notes
    assert encode(engine, dataclasses.replace(after, notes=before.notes)) == encode(engine, before)


# -- the catalogue alone ---------------------------------------------------------------------------


def test_entries(engine: Engine) -> None:
    logs = some_world(0).logs(engine, CONFIGS["all"])
    rows, columns = (engine.to_host(part) for part in catalogue.entries(engine, logs.history))
    assert types(rows, columns) == ["int32", "int32"]
    wanted = [
        (i, j) for i, row in enumerate(sparse_rows(logs.history, engine)) for j in sorted(row)
    ]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == wanted
