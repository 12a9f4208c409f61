"""Small worlds for the tests, and what plain Python says should become of them.

Nothing here calls the code under test except to load tables and to hold arrays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import Tables, load
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Csr, HostArray

START = datetime(2020, 11, 1)
START_DAY = 18_567  # START, in days since 1970

# -- sparse matrices -------------------------------------------------------------------------------


def sparse(engine: Engine, dense: Any, holes: float = 0.0) -> Csr:
    """A sparse matrix that stores what is not ``holes`` in a dense one."""
    table = np.asarray(dense, np.float32)
    lengths = (table != holes).sum(axis=1)
    rows, columns = np.nonzero(table != holes)
    return Csr(
        engine.asarray(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)),
        engine.asarray(columns.astype(np.int32)),
        engine.asarray(table[rows, columns]),
        (table.shape[0], table.shape[1]),
    )


def dense(engine: Engine, matrix: Csr) -> HostArray:
    """A sparse matrix as a dense one, after a check that it keeps the promises of ``Csr``."""
    indptr, indices, data = (
        engine.to_host(part) for part in (matrix.indptr, matrix.indices, matrix.data)
    )
    assert types(indptr, indices, data) == ["int64", "int32", "float32"]
    assert indptr.shape == (matrix.shape[0] + 1,)
    assert indptr[0] == 0
    assert indptr[-1] == len(indices) == len(data) == matrix.nnz
    table = np.zeros(matrix.shape, np.float32)
    for row in range(matrix.shape[0]):
        columns = indices[indptr[row] : indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
        assert len(columns) == 0 or (columns[0] >= 0 and columns[-1] < matrix.shape[1])
        table[row, columns] = data[indptr[row] : indptr[row + 1]]
    return table


def types(*arrays: HostArray) -> list[str]:
    """Names of the arrays' element types."""
    return [str(array.dtype) for array in arrays]


def stored(engine: Engine, matrix: Csr) -> HostArray:
    """Where a sparse matrix stores something, as a dense mask."""
    ones = engine.asarray(np.ones(matrix.nnz, np.float32))
    return dense(engine, matrix.with_data(ones)) > 0


def sparse_rows(matrix: Csr, engine: Engine) -> list[dict[int, float]]:
    """Each row as a dict of column to value."""
    table, mask = dense(engine, matrix), stored(engine, matrix)
    return [
        {int(column): float(table[row, column]) for column in np.flatnonzero(mask[row])}
        for row in range(matrix.shape[0])
    ]


# -- tables ----------------------------------------------------------------------------------------

_COLUMNS: dict[str, dict[str, Any]] = {
    "users": {
        "user_id": pa.int64(),
        "registered_at": pa.timestamp("us"),
        "country": pa.string(),
        "age": pa.int64(),
        "split": pa.string(),
    },
    "tracks": {
        "track_id": pa.int64(),
        "artist_id": pa.int64(),
        "album_id": pa.int64(),
        "genre": pa.string(),
    },
    "interactions": {
        "user_id": pa.int64(),
        "timestamp": pa.timestamp("us"),
        "action": pa.string(),
        "entity": pa.string(),
        "entity_id": pa.int64(),
        "count": pa.int64(),
    },
    "playlists": {
        "playlist_id": pa.int64(),
        "track_id": pa.int64(),
        "user_id": pa.int64(),
        "created_at": pa.timestamp("us"),
    },
}

Row = dict[str, Any]


def at(day: int, seconds: int = 0) -> datetime:
    """A moment of a day counted from ``START``."""
    return START + timedelta(days=day, seconds=seconds)


def day_of(moment: datetime) -> int:
    """The day of a moment, counted from ``START``."""
    return (moment - START).days


@dataclass
class Raw:
    """The tables as rows; a column that no row has is left out."""

    users: list[Row]
    tracks: list[Row]
    interactions: list[Row]
    playlists: list[Row] | None = None

    def source(self) -> dict[str, pa.Table]:
        """As Arrow tables."""
        tables = {
            "users": self.users,
            "tracks": self.tracks,
            "interactions": self.interactions,
        }
        if self.playlists is not None:
            tables["playlists"] = self.playlists
        return {
            name: pa.table(
                {
                    column: pa.array([{"count": 1, **row}.get(column) for row in rows], kind)
                    for column, kind in _COLUMNS[name].items()
                    if any(column in row for row in rows)
                }
            )
            for name, rows in tables.items()
        }

    def tables(self, engine: Engine) -> Tables:
        """Loaded."""
        return load(engine, self.source())

    def indexed(self, engine: Engine, config: Config | None = None) -> tuple[Logs, GroundTruth]:
        """Loaded and indexed."""
        chosen = config or Config()
        days = chosen.segments.popularity_days
        return index(engine, self.tables(engine), chosen.split, popularity_days=days)

    def logs(self, engine: Engine, config: Config | None = None) -> Logs:
        """The past."""
        return self.indexed(engine, config)[0]

    def truth(self, engine: Engine, config: Config | None = None) -> GroundTruth:
        """The future of the users who are measured."""
        return self.indexed(engine, config)[1]


def user(number: int, registered: int, split: str | None = None, **more: Any) -> Row:
    """A user registered on a day counted from ``START``, at noon."""
    row = {"user_id": number, "registered_at": at(registered, 43_200), **more}
    return row if split is None else {**row, "split": split}


def event(who: int, day: int, action: str, entity: str, what: int, **more: Any) -> Row:
    """Something a user did on a day counted from ``START``, at dawn."""
    return {
        "user_id": who,
        "timestamp": at(day, 3600),
        "action": action,
        "entity": entity,
        "entity_id": what,
        **more,
    }


def stream(who: int, day: int, track: int, **more: Any) -> Row:
    """A stream of a track."""
    return event(who, day, "stream", "track", track, **more)


ACTIONS = ("stream", "skip", "favorite", "ban", "search", "onboarding")
KINDS = ("track", "artist", "album", "playlist")


def some_world(
    seed: int,
    *,
    n_users: int = 18,
    n_tracks: int = 23,
    n_events: int = 900,
    split: bool = True,
    playlists: bool = True,
    counts: bool = True,
) -> Raw:
    """A random world with every oddity the contract allows."""
    draw = random.Random(seed)
    artists = [draw.randrange(-(2**62), 2**62) for _ in range(6)]
    albums = [draw.randrange(-(2**62), 2**62) for _ in range(9)]
    track_ids = draw.sample(range(-500, 500), n_tracks)
    tracks: list[Row] = [
        {
            "track_id": number,
            "artist_id": draw.choice([*artists, None]),
            "album_id": draw.choice([*albums, None]),
            "genre": draw.choice(["jazz", "rock", "folk", None]),
        }
        for number in track_ids
    ]
    user_ids = draw.sample(range(-(2**40), 2**40), n_users)
    cohorts = [draw.choice(["warm", "warm", "validation", "test"]) for _ in user_ids]
    cohorts[:4] = ["warm", "warm", "validation", "test"]
    users = [
        user(
            number,
            draw.randrange(40) + (20 if split and cohort != "warm" else 0),
            cohort if split else None,
            country=draw.choice(["FR", "BR", "DE", None]),
            age=draw.choice([None, 12, 17, 18, 24, 25, 40, 64, 65, 90]),
        )
        for number, cohort in zip(user_ids, cohorts, strict=True)
    ]
    playlist_ids = draw.sample(range(100), 5)
    things: dict[str, list[int]] = {
        "track": track_ids,
        "artist": sorted({row["artist_id"] for row in tracks} - {None}),
        "album": sorted({row["album_id"] for row in tracks} - {None}),
        "playlist": playlist_ids,
    }
    interactions = []
    for _ in range(n_events):
        who = draw.choice(users)
        since = draw.choice([0, 0, 0, 0, 1, 2, 5, 15, 29, 30, 31, 33, -1])
        day = day_of(who["registered_at"]) + since
        kind = draw.choices(KINDS, [6, 2, 2, 2 if playlists else 0])[0]
        action = draw.choices(ACTIONS, [6, 2, 2, 2, 2, 2])[0]
        row = event(who["user_id"], day, action, kind, draw.choice(things[kind]))
        row["timestamp"] = at(day, draw.randrange(86_400))
        if counts:
            row["count"] = draw.choice([1, 1, 2, 7])
        interactions.append(row)
    for who in users:  # nobody is left out for want of streams
        day = day_of(who["registered_at"])
        interactions.append(stream(who["user_id"], day, draw.choice(track_ids)))
        one, other = draw.sample(track_ids, 2)
        interactions += [stream(who["user_id"], day + 1, track) for track in (one, other)]
    draw.shuffle(interactions)
    listed = None
    if playlists:
        listed = [
            {
                "playlist_id": number,
                "track_id": draw.choice(track_ids),
                "user_id": owner,
                "created_at": made,
            }
            for number in playlist_ids
            for owner, made in [(draw.choice([None, *user_ids]), at(draw.randrange(60)))]
            for _ in range(draw.randrange(1, 12))
        ]
        draw.shuffle(listed)
    return Raw(users, tracks, interactions, listed)


# -- logs made by hand -----------------------------------------------------------------------------


def hand_logs(
    engine: Engine,
    history: Any,
    *,
    cold_day_one: Any,
    warm_day_one: Any | None = None,
    n_validation: int = 1,
    n_target: int = 0,
    n_artists: int = 0,
    n_albums: int = 0,
    members: Any | None = None,
    favorites: Any | None = None,
    month: Any | None = None,
    **more: Array,
) -> Logs:
    """Logs of warm users with a history [warm, tracks] and of users with day-one streams.

    The first ``n_validation`` cold users are validation users, the last ``n_target`` targets.

    ``members`` [artists + albums + playlists, tracks] and ``favorites`` [warm, entities] are
    dense; everything else about the users is unknown. ``month`` [warm, tracks] are the streams of
    the days on which cold users are judged, all unless given.
    """
    played = np.asarray(history, np.float32)
    first = np.asarray(cold_day_one, np.float32)
    n_warm, n_tracks = played.shape
    owners = np.zeros((0, n_tracks)) if members is None else np.asarray(members)
    entities = np.concatenate([np.eye(n_tracks), owners])
    n_entities = len(entities)
    n_playlists = len(owners) - n_artists - n_albums
    n_users = n_warm + len(first)
    registration = np.zeros((n_users * 18, n_entities))
    if warm_day_one is not None:
        first = np.concatenate([warm_day_one, first])
    registration[(n_users - len(first)) * 18 + 8 :: 18, :n_tracks] = first  # streamed_songs
    popularity = (played > 0).sum(axis=0).astype(np.int32)
    assert (np.diff(popularity) <= 0).all(), "number tracks by popularity"
    if favorites is None:
        favorites = np.zeros((n_warm, n_entities))
    values: dict[str, Any] = {
        "user_ids": engine.asarray(np.arange(n_users)),
        "n_warm": n_warm,
        "n_validation": n_validation,
        "n_test": n_users - n_warm - n_validation - n_target,
        "n_target": n_target,
        "age": engine.asarray(np.full(n_users, np.nan, np.float32)),
        "country": engine.asarray(np.full(n_users, -1, np.int32)),
        "countries": (),
        "track_ids": engine.asarray(np.arange(n_tracks)),
        "popularity": engine.asarray(popularity),
        "genre": engine.asarray(np.full(n_tracks, -1, np.int32)),
        "genres": (),
        "artist_ids": engine.asarray(np.arange(n_artists)),
        "album_ids": engine.asarray(np.arange(n_albums)),
        "playlist_ids": engine.asarray(np.arange(n_playlists)),
        "members": sparse(engine, entities),
        "registration": sparse(engine, registration),
        "signals": engine.asarray(registration.sum(axis=1).reshape(-1, 18).astype(np.float32)),
        "history": sparse(engine, played),
        "favorites": sparse(engine, favorites),
        "plays": sparse(engine, played),
        "month": sparse(engine, played if month is None else np.asarray(month, np.float32)),
        "split_rule": "by hand",
        "notes": (),
    }
    return Logs(**(values | more))
