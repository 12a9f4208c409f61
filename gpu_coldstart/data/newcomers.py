"""Users the data set has never seen: their rows and events, in the terms of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gpu_coldstart.data.catalogue import owners
from gpu_coldstart.data.events import Events
from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.numbering import Numbering
from gpu_coldstart.data.problems import refuse
from gpu_coldstart.data.registrations import (
    Registrations,
    ages,
    registration_matrix,
    signal_counts,
)
from gpu_coldstart.data.tables import read
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.engine.base import Array, Column, Csr, Engine, HostArray

__all__ = ["Entities", "Newcomers", "read_newcomers"]


@dataclass(frozen=True)
class Entities(Numbering):
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

    def ids_of(self, kind: str) -> Array:
        """See :meth:`Numbering.ids_of`."""
        ids: Array = getattr(self, f"{kind}_ids")
        return ids


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
    checked = read(engine, source, optional=optional, known=entities.names)
    refuse(checked.problems)
    people = checked.tables["users"]
    ids = people["user_id"].values
    country, unknown_country = _countries(engine, people.get("country"), entities, len(ids))
    unknown: list[str] = []
    if unknown_country:
        unknown.append(f"{unknown_country} users are from countries that the data set did not have")
    events = Events.none(engine)
    left_out: tuple[str, ...] = ()
    if "interactions" in source:
        table = checked.tables["interactions"]
        events, unknown_ids, left_out = _events(engine, entities, people, table)
        unknown += unknown_ids
    matrix = _matrix(engine, entities, events, len(ids))
    registrations = Registrations(
        ages(engine, people.get("age"), len(ids)), country, matrix, signal_counts(engine, matrix)
    )
    return Newcomers(engine.to_host(ids), checked.ids, registrations, tuple(unknown), left_out)


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


def _events(
    engine: Engine, entities: Entities, people: dict[str, Column], table: dict[str, Column]
) -> tuple[Events, list[str], tuple[str, ...]]:
    """The registration-day events of known users with known entities; what is unknown, left out."""
    xp = engine.xp
    ids = people["user_id"].values
    by_id = xp.argsort(ids)
    place = engine.lookup(table["user_id"].values, ids[by_id])
    user = xp.where(place >= 0, by_id[xp.maximum(place, 0)], -1).astype(xp.int32)
    entity = entities.numbers(engine, table["entity"].values, table["entity_id"].values)
    registered = people["registered_at"].values if "registered_at" in people else None
    events = Events.of(engine, table, user, entity, registered)
    total = len(user)
    stranger, nothing, other_day = user < 0, entity < 0, events.since != 0
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
