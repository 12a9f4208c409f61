"""Catalogue, splits and logs: every matrix counted again from the raw tables, and no leak."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gpu_coldstart import catalogue
from gpu_coldstart.artifacts import encode
from gpu_coldstart.config import Config, Segments, Split
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.logs import Logs
from gpu_coldstart.splits import day_name
from tests.worlds import (
    BLOCKS,
    START_DAY,
    Expected,
    Raw,
    Row,
    at,
    event,
    expect,
    some_world,
    sparse_rows,
    stream,
    types,
    user,
)

# -- everything, on random worlds ------------------------------------------------------------------


def check(engine: Engine, logs: Logs, wanted: Expected) -> None:
    """The logs say what plain Python found."""
    assert (logs.n_warm, logs.n_validation, logs.n_test) == (
        len(wanted.warm),
        len(wanted.validation),
        len(wanted.test),
    )
    assert logs.n_users == len(wanted.users)
    assert engine.to_host(logs.user_ids).tolist() == wanted.users
    for cohort in ("warm", "validation", "test"):
        ids = engine.to_host(logs.user_ids)[logs.users(cohort)].tolist()
        assert ids == getattr(wanted, cohort)
    assert engine.to_host(logs.track_ids).tolist() == wanted.tracks
    assert logs.n_tracks == len(wanted.tracks)
    popularity = engine.to_host(logs.popularity)
    assert popularity.dtype == np.int32
    assert popularity.tolist() == [wanted.popularity[number] for number in wanted.tracks]
    for name in ("artist", "album", "playlist"):
        ids = engine.to_host(getattr(logs, f"{name}_ids")).tolist()
        assert ids == getattr(wanted, f"{name}s")

    things = wanted.entities
    songs = [thing[1] for thing in things[: len(wanted.tracks)]]
    assert logs.members.shape == (len(things), len(songs))
    for thing, row in zip(things, sparse_rows(logs.members, engine), strict=True):
        assert {songs[j]: v for j, v in row.items()} == dict.fromkeys(wanted.members[thing], 1.0)
    first = len(things) - len(wanted.playlists)
    assert logs.playlists == slice(first, len(things))

    for name, users in (
        ("history", wanted.warm),
        ("plays", wanted.warm),
        ("truth", [*wanted.validation, *wanted.test]),
    ):
        matrix = getattr(logs, name)
        assert matrix.shape == (len(users), len(songs))
        for who, row in zip(users, sparse_rows(matrix, engine), strict=True):
            found = {songs[j]: times for j, times in row.items()}
            assert found == dict(getattr(wanted, name).get(who, Counter())), name
    assert logs.favorites.shape == (len(wanted.warm), len(things))
    for who, row in zip(wanted.warm, sparse_rows(logs.favorites, engine), strict=True):
        found_things = {things[j]: times for j, times in row.items()}
        assert found_things == dict(wanted.favorites.get(who, Counter()))

    assert logs.registration.shape == (18 * len(wanted.users), len(things))
    rows = sparse_rows(logs.registration, engine)
    for i, who in enumerate(wanted.users):
        for place, name in enumerate(BLOCKS[2:]):
            found_things = {things[j]: times for j, times in rows[18 * i + place].items()}
            assert found_things == dict(wanted.registration.get((who, name), Counter())), name


def config_of(**options: Any) -> Config:
    days = options.pop("popularity_days", 0)
    return Config(split=Split(**options), segments=Segments(popularity_days=days))


CONFIGS = {
    "auto": config_of(),
    "all": config_of(warm_until="all"),
    "first cold day": config_of(warm_until="first-cold-day"),
    "short truth": config_of(warm_until="all", truth_days=2, min_truth=2),
    "first days": config_of(warm_until="all", popularity_days=30),
    "first day": config_of(warm_until="all", popularity_days=1),
}


def usable(wanted: Expected) -> bool:
    return bool(wanted.warm and wanted.validation and wanted.test)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", CONFIGS)
def test_logs_of_given_splits(engine: Engine, seed: int, name: str) -> None:
    raw = some_world(seed)
    wanted = expect(raw, CONFIGS[name])
    assert usable(wanted)
    check(engine, raw.logs(engine, CONFIGS[name]), wanted)


@pytest.mark.parametrize("seed", range(10, 14))
@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("until", ["auto", "all", "first-cold-day"])
def test_logs_split_by_time(engine: Engine, seed: int, share: float, until: str) -> None:
    raw = some_world(seed, split=False, n_users=30)
    config = config_of(cold_share=share, warm_until=until, truth_days=5)
    wanted = expect(raw, config)
    assert usable(wanted)
    check(engine, raw.logs(engine, config), wanted)


def test_logs_without_playlists_or_counts(engine: Engine) -> None:
    raw = some_world(5, playlists=False, counts=False)
    config = config_of(warm_until="all")
    check(engine, raw.logs(engine, config), expect(raw, config))


def test_logs_without_artists_albums_and_genres(engine: Engine) -> None:
    raw = some_world(6)
    for row in raw.tracks:
        del row["artist_id"], row["album_id"], row["genre"]
    raw.interactions = [r for r in raw.interactions if r["entity"] in ("track", "playlist")]
    config = config_of(warm_until="all")
    logs = raw.logs(engine, config)
    check(engine, logs, expect(raw, config))
    assert logs.genres == ()
    assert set(engine.to_host(logs.genre).tolist()) == {-1}


@pytest.mark.parametrize("seed", range(3))
def test_people_and_genres(engine: Engine, seed: int) -> None:
    raw = some_world(seed)
    logs = raw.logs(engine, CONFIGS["all"])
    people = {row["user_id"]: row for row in raw.users}
    codes, ages = engine.to_host(logs.country), engine.to_host(logs.age)
    assert ages.dtype == np.float32
    for i, number in enumerate(engine.to_host(logs.user_ids).tolist()):
        country = None if codes[i] < 0 else logs.countries[codes[i]]
        assert country == people[number]["country"]
        age = None if np.isnan(ages[i]) else ages[i]
        assert age == people[number]["age"]
    songs = {row["track_id"]: row for row in raw.tracks}
    genres = engine.to_host(logs.genre)
    for j, number in enumerate(engine.to_host(logs.track_ids).tolist()):
        found = None if genres[j] < 0 else logs.genres[genres[j]]
        assert found == songs[number]["genre"]


def test_order_of_rows_does_not_matter(engine: Engine) -> None:
    raw = some_world(7)
    again = Raw(*(list(reversed(rows)) for rows in (raw.users, raw.tracks, raw.interactions)))
    again.playlists = list(reversed(raw.playlists or []))
    one, other = (encode(engine, world.logs(engine, CONFIGS["all"])) for world in (raw, again))
    assert one == other


# -- a small world by hand -------------------------------------------------------------------------


def small() -> Raw:
    """Warm users 1 to 3 and cold users 8 and 9, registered on day 10."""
    users = [
        *(user(number, number, "warm") for number in (3, 1, 2)),
        user(9, 10, "test"),
        user(8, 10, "validation"),
    ]
    tracks: list[Row] = [
        {"track_id": 50, "artist_id": 1, "album_id": 4},
        {"track_id": -7, "artist_id": 1, "album_id": None},
        {"track_id": 60, "artist_id": None, "album_id": 4},
        {"track_id": 70, "artist_id": 2, "album_id": None},
    ]
    interactions = [
        *(stream(number, 5, 50) for number in (1, 2, 3)),
        stream(1, 5, 60, count=100),
        stream(8, 10, 60),
        stream(9, 11, 60),
        stream(8, 12, 70),
    ]
    return Raw(users, tracks, interactions)


def ids(engine: Engine, logs: Logs) -> list[int]:
    found: list[int] = engine.to_host(logs.track_ids).tolist()
    return found


def test_popularity_counts_warm_users_not_streams(engine: Engine) -> None:
    logs = small().logs(engine)
    # Equally popular tracks by smaller id; what cold users stream does not count.
    assert ids(engine, logs) == [50, 60, -7, 70]
    assert engine.to_host(logs.popularity).tolist() == [3, 1, 0, 0]


def test_popularity_of_the_first_days(engine: Engine) -> None:
    raw = small()
    raw.interactions += [
        stream(1, 1, -7),  # the day of registration does not count
        stream(2, 2 + 4, 70),  # the fourth day after it does
        stream(3, 3 + 5, 70),  # the fifth does not
    ]
    logs = raw.logs(engine, config_of(popularity_days=4))
    assert ids(engine, logs) == [50, 60, 70, -7]
    assert engine.to_host(logs.popularity).tolist() == [3, 1, 1, 0]
    assert logs.history.nnz == 7


@pytest.mark.parametrize("action", ["stream", "skip", "ban", "favorite", "search", "onboarding"])
def test_what_happens_to_a_track_happens_to_its_artist_and_album(
    engine: Engine, action: str
) -> None:
    raw = small()
    raw.interactions = [row for row in raw.interactions if row["user_id"] != 9]
    raw.interactions += [stream(9, 11, 60), event(9, 10, action, "track", 50, count=3)]
    raw.interactions += [event(9, 10, action, "track", 60), event(9, 10, action, "artist", 2)]
    logs = raw.logs(engine)
    rows = sparse_rows(logs.registration, engine)[18 * 4 :]  # of the last user
    found = {name: row for name, row in zip(BLOCKS[2:], rows, strict=True) if row}
    track_50, track_60, artist_1, artist_2, album_4 = 0, 1, 4, 5, 6
    tracks = {track_50: 3.0, track_60: 1.0}
    if action in ("stream", "skip", "ban"):
        verb = {"stream": "streamed", "skip": "skipped", "ban": "banned"}[action]
        assert found == {
            f"{verb}_songs": tracks,
            f"{verb}_artists": {artist_1: 3.0, artist_2: 1.0},
            f"{verb}_albums": {album_4: 4.0},
        }
    elif action == "onboarding":  # only artists are liked on boarding
        assert found == {"onboarding_like_artists": {artist_2: 1.0}}
    else:
        assert found == {f"{action}_songs": tracks, f"{action}_artists": {artist_2: 1.0}}


def test_truth_is_the_days_after_registration(engine: Engine) -> None:
    raw = small()
    raw.interactions += [
        stream(9, 10, 50),
        stream(9, 40, 50, count=2),
        stream(9, 40, 50),
        stream(9, 41, -7),
        event(9, 12, "favorite", "track", 70),
        event(9, 12, "stream", "artist", 2),
    ]
    truth = sparse_rows(raw.logs(engine).truth, engine)
    assert truth == [{3: 1.0}, {1: 1.0, 0: 3.0}]
    truth = sparse_rows(raw.logs(engine, config_of(truth_days=31)).truth, engine)
    assert truth == [{3: 1.0}, {1: 1.0, 0: 3.0, 2: 1.0}]


def test_days_are_calendar_days(engine: Engine) -> None:
    raw = small()
    raw.users[3]["registered_at"] = at(10, 86_399)
    for moment in (at(10), at(10, 86_399), at(11), at(9, 86_399)):
        raw.interactions.append(stream(9, 0, 70) | {"timestamp": moment})
    logs = raw.logs(engine)
    streamed = sparse_rows(logs.registration, engine)[18 * 4 + BLOCKS.index("streamed_songs") - 2]
    assert streamed == {3: 2.0}
    assert sparse_rows(logs.truth, engine)[1] == {1: 1.0, 3: 1.0}
    assert any("1 interactions come before" in note for note in logs.notes)


def test_events_before_registration_are_dropped(engine: Engine) -> None:
    raw = small()
    before = raw.logs(engine)
    raw.interactions += [stream(2, 1, 70), event(3, 0, "favorite", "track", 70)]
    after = raw.logs(engine)
    assert [note for note in after.notes if "2 interactions come before" in note]
    assert before.notes == ()
    assert encode(engine, dataclasses.replace(after, notes=())) == encode(engine, before)


# -- who counts ------------------------------------------------------------------------------------


def test_cold_users_without_truth_are_left_out(engine: Engine) -> None:
    raw = small()
    raw.users.append(user(7, 11, "test"))
    raw.interactions.append(stream(7, 11, 50))
    logs = raw.logs(engine)
    assert engine.to_host(logs.user_ids).tolist() == [1, 2, 3, 8, 9]
    assert any("1 cold users streamed fewer than 1 distinct" in note for note in logs.notes)
    with pytest.raises(UserError, match="leaves no validation users"):
        raw.logs(engine, config_of(min_truth=2))


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
    for word in ("interactions.parquet", "8 of 15", "row 0", column, str(odd[column])):
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
    check(engine, logs, expect(raw, Config()))
    raw.playlists.append({"playlist_id": 1, "track_id": 53})
    with pytest.raises(UserError, match=r"playlists\.parquet.*3 of 5"):
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
    assert engine.to_host(logs.user_ids).tolist() == [0, 2, 4, 5, 7, 9, 1, 8, 6, 10]
    assert (logs.n_warm, logs.n_validation, logs.n_test) == (6, 2, 2)
    for word in (day_name(START_DAY + 18), day_name(START_DAY + 20), "2 registered later"):
        assert word in logs.split_rule
    # A day is never cut in two: 30 % would be three users, so a fourth of day 18 joins.
    logs = raw.logs(engine, config_of(truth_days=10, cold_share=0.3, warm_until="all"))
    assert logs.n_warm == 6
    logs = raw.logs(engine, config_of(truth_days=10, cold_share=0.2, warm_until="all"))
    assert engine.to_host(logs.user_ids)[logs.n_warm :].tolist() == [1, 10]


def test_split_by_time_needs_long_logs(engine: Engine) -> None:
    raw = by_time([0, 1, 2], 9)
    with pytest.raises(UserError, match=r"split\.truth_days"):
        raw.logs(engine, config_of(truth_days=10))


def test_given_split_is_said(engine: Engine) -> None:
    assert "users.parquet" in small().logs(engine).split_rule


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
    raw.users += [user(6, 10, "test"), user(5, 1, "warm")]  # both left out: no truth, no streams
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
    before = raw.logs(engine, config)
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
            raw.interactions.append(stream(row["user_id"], day + 99, raw.tracks[1]["track_id"]))
    after = raw.logs(engine, config)
    assert after.truth.nnz > before.truth.nnz
    for field in dataclasses.fields(Logs):
        if field.name not in ("truth", "notes"):
            one, other = getattr(before, field.name), getattr(after, field.name)
            if dataclasses.is_dataclass(one):
                for part in ("indptr", "indices", "data"):
                    assert_array_equal(
                        engine.to_host(getattr(one, part)), engine.to_host(getattr(other, part))
                    )
            elif hasattr(one, "dtype"):
                assert_array_equal(engine.to_host(one), engine.to_host(other))
            else:
                assert one == other


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
