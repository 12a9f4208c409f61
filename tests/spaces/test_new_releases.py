"""Places of new releases, averaged track by track in plain Python."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.components import UtAlsConfig
from gpu_coldstart.config.parameters import NewReleasesConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.spaces import Space, silent
from gpu_coldstart.spaces.new_releases import place, with_new_releases
from gpu_coldstart.spaces.ut_als import UtAls
from tests.worlds import Raw, hand_logs, some_world, types

SOURCES = ("album", "artist", "genre")
NEAREST = 3


def of(*sources: Any) -> NewReleasesConfig:
    return NewReleasesConfig(sources=sources, neighbours=NEAREST)


def owners_of(engine: Engine, raw: Raw, logs: Logs) -> list[dict[str, Any]]:
    """The row of the table of tracks for each numbered track."""
    rows = {row["track_id"]: row for row in raw.tracks}
    return [rows[number] for number in engine.to_host(logs.track_ids).tolist()]


def expected(
    rows: list[dict[str, Any]],
    tracks: HostArray,
    new: HostArray,
    sources: tuple[str, ...],
    sound: HostArray | None = None,
) -> tuple[HostArray, list[int]]:
    columns = {"album": "album_id", "artist": "artist_id", "genre": "genre"}
    placed = tracks.astype(np.float64)
    came_from = [-1] * len(rows)
    for i, row in enumerate(rows):
        if not new[i]:
            continue
        placed[i] = 0
        for code, source in enumerate(sources):
            known = [j for j in range(len(rows)) if not new[j] and tracks[j].any()]
            same: list[int] = []
            if source != "sound":
                column = columns[source]
                same = [j for j in known if rows[j].get(column) == row.get(column) is not None]
            elif sound is not None and sound[i].any():
                cosine = {j: sound[j] @ sound[i] for j in known if sound[j].any()}
                same = sorted(cosine, key=cosine.__getitem__)[-NEAREST:]
            others = [tracks[j].astype(np.float64) for j in same]
            if others:
                placed[i], came_from[i] = sum(others) / len(others), code
                break
    return placed, came_from


@pytest.mark.parametrize(
    "sources",
    [
        *permutations(SOURCES),
        ("artist",),
        ("genre", "album"),
        ("sound",),
        ("artist", "sound", "genre"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_places(engine: Engine, sources: tuple[str, ...], seed: int, share: float) -> None:
    raw = some_world(seed)
    logs = raw.logs(engine)
    random = np.random.default_rng(seed)
    tracks = random.normal(size=(logs.n_tracks, 5)).astype(np.float32)
    tracks[random.random(logs.n_tracks) < 0.2] = 0
    new = random.random(logs.n_tracks) < share
    sound = random.normal(size=(logs.n_tracks, 4)).astype(np.float32)
    sound /= np.linalg.norm(sound, axis=1, keepdims=True)
    sound[random.random(logs.n_tracks) < 0.4] = 0
    logs = replace(logs, sound=engine.asarray(sound))
    before = engine.asarray(tracks.copy())
    placed, source = place(engine, logs, before, engine.asarray(new), of(*sources))
    found, came_from = engine.to_host(placed), engine.to_host(source)
    assert types(found, came_from) == ["float32", "int32"]
    wanted, wanted_source = expected(owners_of(engine, raw, logs), tracks, new, sources, sound)
    assert_allclose(found, wanted, atol=1e-6)
    assert_array_equal(found[~new], tracks[~new])
    assert came_from.tolist() == wanted_source
    assert_array_equal(engine.to_host(before), tracks)  # left alone


def test_those_worlds_tell_the_sources_apart(engine: Engine) -> None:
    met = set()
    for seed in range(3):
        raw = some_world(seed)
        logs = raw.logs(engine)
        new = np.random.default_rng(seed).random(logs.n_tracks) < 0.8
        tracks = np.ones((logs.n_tracks, 1), np.float32)
        met |= set(expected(owners_of(engine, raw, logs), tracks, new, SOURCES)[1])
    assert met == {-1, 0, 1, 2}


@pytest.mark.parametrize("missing", [("album_id",), ("genre",), ("album_id", "artist_id", "genre")])
def test_columns_that_no_track_has(engine: Engine, missing: tuple[str, ...]) -> None:
    raw = some_world(1)
    for row in raw.tracks:
        for column in missing:
            del row[column]
    raw.interactions = [row for row in raw.interactions if row["entity"] in ("track", "playlist")]
    logs = raw.logs(engine)
    tracks = np.random.default_rng(0).normal(size=(logs.n_tracks, 3)).astype(np.float32)
    new = np.arange(logs.n_tracks) % 2 == 0
    placed, source = place(engine, logs, engine.asarray(tracks), engine.asarray(new), of(*SOURCES))
    wanted, came_from = expected(owners_of(engine, raw, logs), tracks, new, SOURCES)
    assert_allclose(engine.to_host(placed), wanted, atol=1e-6)
    assert engine.to_host(source).tolist() == came_from


# -- which tracks are new ----------------------------------------------------------------------

# Tracks 0 to 2 were streamed, 3 is a favourite; of the others, 5 to 7 are by an artist that is one,
# and 7 is in a playlist.
HISTORY = [[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]]
MEMBERS = [[1, 0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]]
LIKED = [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]]
ROWS = np.array([[2, 0], [0, 0], [0, 4], [0, 0], [0, 0], [0, 0], [9, 9], [3, 5]], np.float32)


def by_hand(engine: Engine) -> Logs:
    return hand_logs(
        engine,
        HISTORY,
        cold_day_one=[[0] * 8] * 2,
        n_artists=1,
        members=MEMBERS,
        favorites=LIKED,
    )


@pytest.mark.parametrize("learned_from_playlists", [True, False])
def test_tracks_that_nobody_played_or_liked_get_a_place(
    engine: Engine, learned_from_playlists: bool
) -> None:
    """By the artist's streamed tracks, and the one whose place comes from a playlist."""
    rows = ROWS.copy()
    if not learned_from_playlists:
        rows[7] = 0
    users = engine.asarray(np.eye(2, dtype=np.float32))
    space = Space("tt-svd", engine.asarray(rows), users, notes=("before",))
    found = with_new_releases(engine, by_hand(engine), space, of(*SOURCES))
    if learned_from_playlists:
        rows[5:7] = [5 / 3, 3]
    else:
        rows[5:] = [1, 2]
    assert_allclose(engine.to_host(found.tracks), rows, rtol=1e-6)
    assert found.users is users
    n = 2 if learned_from_playlists else 3
    assert found.notes == (
        "before",
        f"{n + 1} tracks without history were placed in tt-svd: 0 by album, {n} by artist, "
        "0 by genre, 1 not at all",
    )


def test_a_space_without_new_tracks_is_left_alone(engine: Engine) -> None:
    logs = hand_logs(engine, [[1, 1], [1, 0]], cold_day_one=[[0, 0]] * 2)
    space = Space("tt-svd", engine.asarray(np.zeros((2, 2), np.float32)), logs.age)
    assert with_new_releases(engine, logs, space, of(*SOURCES)) is space


def test_ut_als_leaves_tracks_null_that_nobody_is_drawn_to(engine: Engine) -> None:
    logs = by_hand(engine)
    options = UtAlsConfig(factors=2, iterations=2, favorite_artist_weight=0.0)
    space = UtAls.fit(engine, logs, options, 0, silent)
    null = ~engine.to_host(space.tracks).any(axis=1)
    assert null.tolist() == [False] * 4 + [True] * 4
    liked = UtAls.fit(engine, logs, options.replace(favorite_artist_weight=0.2), 0, silent)
    assert engine.to_host(liked.tracks)[5].any()  # of a favourite artist
