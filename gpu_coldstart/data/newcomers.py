"""Users the data set has never seen: their rows and events, in the terms of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gpu_coldstart.data.catalogue import owners
from gpu_coldstart.data.events import DAY, Events, event_code
from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.problems import refuse
from gpu_coldstart.data.registrations import Registrations, registration_matrix, signal_counts
from gpu_coldstart.data.tables import ENTITIES, read
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.engine.base import Array, Column, Csr, Engine, HostArray

__all__ = ["Entities", "Newcomers", "read_newcomers"]


@dataclass(frozen=True)
class Entities:
    """What a fitted model knows by name.

    Attributes
    ----------
    track_ids : Array [tracks] of int64
        Most popular first.
    artist_ids, album_ids, playlist_ids : Array of int64
        Ascending. Entities are numbered tracks, artists, albums, playlists, one after another.
    artist, album : Array [tracks] of int32
        Entity number of each track's artist and album; -1 where it has none.
    countries : tuple of str
    names : Ids
        What the int64 of entities stand for.
    titles : Titles
        What people call tracks and playlists.
    """

    track_ids: Array
    artist_ids: Array
    album_ids: Array
    playlist_ids: Array
    artist: Array
    album: Array
    countries: tuple[str, ...]
    names: Ids = field(default_factory=Ids)
    titles: Titles = field(default_factory=Titles)

    @classmethod
    def of(cls, engine: Engine, logs: Logs) -> Entities:
        """Those of a data set."""
        first = logs.n_tracks
        artists, albums = int(logs.artist_ids.shape[0]), int(logs.album_ids.shape[0])
        return cls(
            logs.track_ids,
            logs.artist_ids,
            logs.album_ids,
            logs.playlist_ids,
            owners(engine, logs.members, first, first + artists),
            owners(engine, logs.members, first + artists, first + artists + albums),
            logs.countries,
            logs.ids.without("user"),
            logs.titles,
        )

    def ids(self, kind: str) -> Array:
        """Ids of the entities of a kind, in the order of their numbers."""
        ids: Array = getattr(self, f"{kind}_ids")
        return ids

    def first(self, kind: str) -> int:
        """Number of the first entity of a kind."""
        return sum(int(self.ids(other).shape[0]) for other in ENTITIES[: ENTITIES.index(kind)])

    @property
    def n_entities(self) -> int:
        """Number of entities of all kinds."""
        return self.first("playlist") + int(self.playlist_ids.shape[0])

    def numbers(self, engine: Engine, kinds: Array, ids: Array) -> Array:
        """Entity numbers [n] of int32 of ids [n] of given kinds; -1 where unknown."""
        xp = engine.xp
        numbers = xp.full(len(ids), -1, dtype=xp.int32)
        for code, kind in enumerate(ENTITIES):
            of_kind = (kinds == code).nonzero()[0]
            if not len(of_kind):
                continue
            keys = self.ids(kind)
            # Tracks are numbered by popularity; the others ascend already.
            by_id = xp.argsort(keys) if kind == "track" else xp.arange(len(keys))
            place = engine.lookup(ids[of_kind], keys[by_id])
            known = place >= 0
            number = xp.where(known, by_id[xp.maximum(place, 0)], -1) if len(keys) else place
            numbers[of_kind] = xp.where(known, number + self.first(kind), -1)
        return numbers


@dataclass(frozen=True)
class Newcomers:
    """Some users and what is known of them.

    Attributes
    ----------
    ids : HostArray [users] of int64
        In the order of the users table.
    names : Ids
        What ``ids`` stand for: the users of this table, whatever those of the data set are.
    registrations : Registrations
    unknown : tuple of str
        What the model does not know, with counts.
    left_out : tuple of str
        What was not used though it is known, with counts.
    """

    ids: HostArray
    names: Ids
    registrations: Registrations
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]


def read_newcomers(
    engine: Engine, entities: Entities, users: pa.Table, interactions: pa.Table | None
) -> Newcomers:
    """Check and index users and their registration-day events.

    Parameters
    ----------
    users : pyarrow.Table
        By the data contract; ``registered_at`` may be missing.
    interactions : pyarrow.Table or None
        By the data contract; ``timestamp`` may be missing. Where both moments are given, only the
        events of the calendar day of ``registered_at`` (UTC) count, else all.

    Raises
    ------
    UserError
        As for the tables of a data set.
    """
    source = {"users": users}
    if interactions is not None and len(interactions):
        source["interactions"] = interactions
    optional = {"registered_at", "timestamp"}
    tables, names, problems = read(engine, source, optional=optional, known=entities.names)
    refuse(problems)
    people = tables["users"]
    ids = people["user_id"].values
    country, unknown_country = _countries(engine, people.get("country"), entities, len(ids))
    unknown: list[str] = []
    if unknown_country:
        unknown.append(f"{unknown_country} users are from countries that the data set did not have")
    events = _no_events(engine)
    left_out: tuple[str, ...] = ()
    if "interactions" in tables:
        events, unknown_ids, left_out = _events(engine, entities, people, tables["interactions"])
        unknown += unknown_ids
    matrix = _matrix(engine, entities, events, len(ids))
    registrations = Registrations(
        _ages(engine, people.get("age"), len(ids)), country, matrix, signal_counts(engine, matrix)
    )
    return Newcomers(engine.to_host(ids), names, registrations, tuple(unknown), left_out)


def _countries(
    engine: Engine, column: Column | None, entities: Entities, n: int
) -> tuple[Array, int]:
    """Country of each user among those of the model, -1 where unknown; how many are new."""
    xp = engine.xp
    if column is None:
        return xp.full(n, -1, dtype=xp.int32), 0
    place = {name: code for code, name in enumerate(entities.countries)}
    codes = xp.asarray([place.get(name, -1) for name in column.names] or [-1], dtype=xp.int32)
    country = codes[column.values]
    given = xp.ones(n, dtype=bool) if column.valid is None else column.valid
    return xp.where(given, country, -1).astype(xp.int32), int((given & (country < 0)).sum())


def _ages(engine: Engine, column: Column | None, n: int) -> Array:
    xp = engine.xp
    if column is None:
        return xp.full(n, xp.nan, dtype=xp.float32)
    age = column.values.astype(xp.float32)
    return age if column.valid is None else xp.where(column.valid, age, xp.float32(xp.nan))


def _no_events(engine: Engine) -> Events:
    xp = engine.xp
    none = xp.zeros(0, dtype=xp.int32)
    return Events(none, none, none, none.astype(xp.int16), none, none.astype(xp.float32))


def _events(
    engine: Engine, entities: Entities, people: dict[str, Column], table: dict[str, Column]
) -> tuple[Events, list[str], tuple[str, ...]]:
    """The registration-day events of known users with known entities; what is unknown, left out."""
    xp = engine.xp
    ids = people["user_id"].values
    by_id = xp.argsort(ids)
    place = engine.lookup(table["user_id"].values, ids[by_id])
    user = xp.where(place >= 0, by_id[xp.maximum(place, 0)], -1).astype(xp.int32)
    kinds = table["entity"].values
    entity = entities.numbers(engine, kinds, table["entity_id"].values)
    day = xp.zeros(len(user), dtype=xp.int32)
    since = xp.zeros(len(user), dtype=xp.int32)
    if "timestamp" in table and "registered_at" in people:
        day = (table["timestamp"].values // DAY).astype(xp.int32)
        registered = (people["registered_at"].values // DAY).astype(xp.int32)
        since = day - registered[xp.maximum(user, 0)]
    count = table["count"].values if "count" in table else xp.ones(len(user))
    what = event_code(table["action"].values.astype(xp.int16), kinds.astype(xp.int16))
    events = Events(user, day, since, what, entity, count.astype(xp.float32))
    total = len(user)
    stranger, nothing, other_day = user < 0, entity < 0, since != 0
    unknown = [
        f"{int(mask.sum())} of {total} interactions name unknown {what}; left out"
        for mask, what in (
            (stranger, "users"),
            (~stranger & nothing, "tracks, artists, albums or playlists"),
        )
        if int(mask.sum())
    ]
    late = int((~stranger & ~nothing & other_day).sum())
    left_out = (f"{late} of {total} interactions are not of the registration day",) if late else ()
    return events.where(~stranger & ~nothing & ~other_day), unknown, left_out


def _matrix(engine: Engine, entities: Entities, events: Events, n: int) -> Csr:
    owner: dict[str, Any] = {"artist": entities.artist, "album": entities.album}
    return registration_matrix(engine, events, owner, (n, entities.n_entities))
