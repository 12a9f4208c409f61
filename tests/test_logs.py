"""Catalogue, splits and logs: every matrix counted again from the raw tables, and no leak."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest

from gpu_coldstart.config.parameters import Config, SegmentsConfig, SplitConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine import Engine
from gpu_coldstart.runs.artifacts import encode
from tests.expectations import BLOCKS, Expected, expect
from tests.worlds import (
    START_DAY,
    Raw,
    Row,
    at,
    event,
    some_world,
    sparse_rows,
    stream,
    user,
)

# -- everything, on random worlds ------------------------------------------------------------------


def check(engine: Engine, indexed: tuple[Logs, GroundTruth], wanted: Expected) -> None:
    """The logs and the truth say what plain Python makes of the tables."""
    logs, truth = indexed
    assert (logs.n_warm, logs.n_validation, logs.n_test, logs.n_target) == (
        len(wanted.warm),
        len(wanted.validation),
        len(wanted.test),
        len(wanted.target),
    )
    assert logs.n_users == len(wanted.users)
    assert engine.to_host(logs.user_ids).tolist() == wanted.users
    for cohort in ("warm", "validation", "test", "target"):
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

    measured = [*wanted.validation, *wanted.test]
    assert (truth.n_validation, truth.n_test) == (len(wanted.validation), len(wanted.test))
    assert engine.to_host(truth.user_ids).tolist() == measured
    for name, matrix, users in (
        ("history", logs.history, wanted.warm),
        ("plays", logs.plays, wanted.warm),
        ("month", logs.month, wanted.warm),
        ("truth", truth.tracks, measured),
        ("truth", truth.of(engine, "validation"), wanted.validation),
        ("truth", truth.of(engine, "test"), wanted.test),
    ):
        assert matrix.shape == (len(users), len(songs))
        for who, row in zip(users, sparse_rows(matrix, engine), strict=True):
            found = {songs[j]: times for j, times in row.items()}
            assert found == dict(getattr(wanted, name).get(who, Counter())), name
    for name, matrix, users in (
        ("favorites", logs.favorites, wanted.warm),
        ("truth_favorites", truth.favorites, measured),
    ):
        assert matrix.shape == (len(users), len(things))
        for who, row in zip(users, sparse_rows(matrix, engine), strict=True):
            found_things = {things[j]: times for j, times in row.items()}
            assert found_things == dict(getattr(wanted, name).get(who, Counter())), name
    assert truth.playlists.shape == (len(measured), len(wanted.playlists))
    for who, row in zip(measured, sparse_rows(truth.playlists, engine), strict=True):
        found = {wanted.playlists[j]: times for j, times in row.items()}
        assert found == dict(wanted.truth_playlists.get(who, Counter()))

    streamed = [day for days in wanted.stream_days.values() for day in days]
    assert logs.days == (START_DAY + min(streamed), START_DAY + max(streamed))

    assert logs.registration.shape == (18 * len(wanted.users), len(things))
    rows = sparse_rows(logs.registration, engine)
    for i, who in enumerate(wanted.users):
        for place, name in enumerate(BLOCKS[2:]):
            found_things = {things[j]: times for j, times in rows[18 * i + place].items()}
            assert found_things == dict(wanted.registration.get((who, name), Counter())), name


def config_of(**options: Any) -> Config:
    days = options.pop("popularity_days", 0)
    return Config(split=SplitConfig(**options), segments=SegmentsConfig(popularity_days=days))


CONFIGS = {
    "auto": config_of(),
    "all": config_of(warm_until="all"),
    "first cold day": config_of(warm_until="first-cold-day"),
    "much truth": config_of(warm_until="all", min_truth=5),
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
    check(engine, raw.indexed(engine, CONFIGS[name]), wanted)


@pytest.mark.parametrize("seed", range(10, 14))
@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("until", ["auto", "all", "first-cold-day"])
def test_logs_split_by_time(engine: Engine, seed: int, share: float, until: str) -> None:
    raw = some_world(seed, split=False, n_users=30)
    raw.users.append(user(2**41, 72, country="FR", age=30))  # too late to be measured
    raw.interactions.append(stream(2**41, 72, raw.tracks[0]["track_id"]))
    config = config_of(cold_share=share, warm_until=until, truth_days=5)
    wanted = expect(raw, config)
    assert usable(wanted)
    assert wanted.target
    check(engine, raw.indexed(engine, config), wanted)


def test_logs_without_playlists_or_counts(engine: Engine) -> None:
    raw = some_world(5, playlists=False, counts=False)
    config = config_of(warm_until="all")
    check(engine, raw.indexed(engine, config), expect(raw, config))


def test_logs_without_artists_albums_and_genres(engine: Engine) -> None:
    raw = some_world(6)
    for row in raw.tracks:
        del row["artist_id"], row["album_id"], row["genre"]
    raw.interactions = [r for r in raw.interactions if r["entity"] in ("track", "playlist")]
    config = config_of(warm_until="all")
    logs, truth = raw.indexed(engine, config)
    check(engine, (logs, truth), expect(raw, config))
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
    one, other = (
        [encode(engine, part) for part in world.indexed(engine, CONFIGS["all"])]
        for world in (raw, again)
    )
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
    truth = sparse_rows(raw.truth(engine).tracks, engine)
    assert truth == [{3: 1.0}, {1: 1.0, 0: 3.0}]
    truth = sparse_rows(raw.truth(engine, config_of(truth_days=31)).tracks, engine)
    assert truth == [{3: 1.0}, {1: 1.0, 0: 3.0, 2: 1.0}]


def test_days_are_calendar_days(engine: Engine) -> None:
    raw = small()
    raw.users[3]["registered_at"] = at(10, 86_399)
    for moment in (at(10), at(10, 86_399), at(11), at(9, 86_399)):
        raw.interactions.append(stream(9, 0, 70) | {"timestamp": moment})
    logs, truth = raw.indexed(engine)
    streamed = sparse_rows(logs.registration, engine)[18 * 4 + BLOCKS.index("streamed_songs") - 2]
    assert streamed == {3: 2.0}
    assert sparse_rows(truth.tracks, engine)[1] == {1: 1.0, 3: 1.0}
    assert any("1 interactions come before" in note for note in logs.notes)


def test_events_before_registration_are_dropped(engine: Engine) -> None:
    raw = small()
    before = raw.logs(engine)
    raw.interactions += [stream(2, 1, 70), event(3, 0, "favorite", "track", 70)]
    after = raw.logs(engine)
    assert [note for note in after.notes if "2 interactions come before" in note]
    assert before.notes == ()
    assert encode(engine, dataclasses.replace(after, notes=())) == encode(engine, before)
