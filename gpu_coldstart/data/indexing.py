"""Checked tables turned into what the method works on: dense indices and sparse matrices.

This is where the rule "no interaction of a cold user after the registration day may influence
anything but the ground truth" is kept: such events reach
:class:`~gpu_coldstart.data.truth.GroundTruth`, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data import cohorts
from gpu_coldstart.data.catalogue import Catalogue
from gpu_coldstart.data.catalogue import read as read_catalogue
from gpu_coldstart.data.events import Events, known_events
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.registrations import ages, registration_matrix, signal_counts
from gpu_coldstart.data.selection import Registered, Selection, believed_playlists, select
from gpu_coldstart.data.sound import in_order
from gpu_coldstart.data.tables import SPLITS, Tables
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Csr, Engine

__all__ = ["Selecting", "index"]


class Selecting(Protocol):
    """Selects the users and events that count, as :func:`gpu_coldstart.data.selection.select`."""

    def __call__(
        self,
        engine: Engine,
        tables: Tables,
        split: SplitConfig,
        users: Registered,
        catalogue: Catalogue,
        *,
        tested: bool,
    ) -> Selection:
        """The notes are of all that was left out, unknown ids included."""


def index(
    engine: Engine,
    tables: Tables,
    split: SplitConfig,
    *,
    popularity_days: int = 0,
    tested: bool = True,
    selecting: Selecting | None = None,
) -> tuple[Logs, GroundTruth]:
    """Number users and entities, split users into cohorts and build every matrix.

    Parameters
    ----------
    split : SplitConfig
    popularity_days : int
        Days after registration whose streams count for popularity; 0 counts the whole history.
    tested : bool
        Whether test users are needed.
    selecting : Selecting, or None
        Where the interactions are not in ``tables`` but somewhere else, what selects among them.

    Returns
    -------
    logs : Logs
        The past.
    truth : GroundTruth
        What validation and test users did next.

    Raises
    ------
    UserError
        When more than half of the interactions name unknown users or entities, or when a cohort
        that is needed is empty.
    """
    registered = Registered.of(engine, tables)
    catalogue, notes = read_catalogue(engine, tables)
    sound, silent = in_order(engine, tables, catalogue.ids["track"])
    selected = (selecting or _selected)(engine, tables, split, registered, catalogue, tested=tested)
    events, cohort = selected.events, selected.cohort
    listed, hidden = believed_playlists(engine, tables, registered.ids, cohort, selected.last_day)

    users, place = _order_users(engine, cohort)
    events = events.where(place[events.user] >= 0)
    events = events._replace(user=place[events.user])
    people = _People.of(
        engine, tables, registered.rows[users], cohort[users], registered.ids[users]
    )
    logs, catalogue, place_of = _past(
        engine,
        people,
        catalogue,
        listed,
        events=events,
        days=selected.days,
        popularity_days=popularity_days,
        truth_days=split.truth_days,
    )
    events = events._replace(entity=place_of[events.entity])
    truth = _future(engine, people, catalogue, events, split.truth_days)
    logs = replace(
        logs,
        split_rule=selected.rule,
        notes=(*notes, *silent, *selected.notes, *hidden),
        sound=None if sound is None else sound[engine.xp.argsort(place_of[: logs.n_tracks])],
        ids=tables.ids,
        titles=Titles.of(engine, tables.tracks, tables.playlists),
    )
    return logs, truth


def _selected(
    engine: Engine,
    tables: Tables,
    split: SplitConfig,
    users: Registered,
    catalogue: Catalogue,
    *,
    tested: bool,
) -> Selection:
    """Which users and events count, of the interactions in the tables."""
    known = partial(known_events, engine, tables, users.ids, users.moments, catalogue)
    events, dropped = known()
    selected = select(
        engine,
        split,
        events,
        users,
        n_entities=catalogue.n_entities,
        tested=tested,
        known=partial(known, early=True),
    )
    return selected._replace(notes=[*dropped, *selected.notes])


def _order_users(engine: Engine, cohort: Array) -> tuple[Array, Array]:
    """Users in cohort order, and each user's new number (-1 for those left out)."""
    xp = engine.xp
    n = len(cohort)
    order = xp.argsort(cohort.astype(xp.int64) * n + xp.arange(n))
    users = order[: int((cohort != cohorts.LEFT_OUT).sum())]
    place = xp.full(n, -1, dtype=xp.int32)
    place[users] = xp.arange(len(users), dtype=xp.int32)
    return users, place


class _People(NamedTuple):
    """What is known of the users themselves, in their final order."""

    ids: Array
    sizes: tuple[int, ...]
    age: Array
    country: Array
    countries: tuple[str, ...]

    @classmethod
    def of(cls, engine: Engine, tables: Tables, rows: Array, cohort: Array, ids: Array) -> _People:
        """Read age and country at the given rows of the users table."""
        xp = engine.xp
        sizes = [int((cohort == code).sum()) for code in range(len(SPLITS))]
        n_rows = len(tables.users["user_id"].values)
        age = ages(engine, tables.users.get("age"), n_rows)[rows]
        country = xp.full(len(rows), -1, dtype=xp.int32)
        column = tables.users.get("country")
        if column is not None:
            country = column.values[rows].astype(xp.int32)
            if column.valid is not None:
                country = xp.where(column.valid[rows], country, -1).astype(xp.int32)
        names = () if column is None else column.names
        return cls(ids, tuple(sizes), age, country, names)


def _past(
    engine: Engine,
    people: _People,
    catalogue: Catalogue,
    listed: Array,
    *,
    events: Events,
    days: tuple[int, int],
    popularity_days: int,
    truth_days: int,
) -> tuple[Logs, Catalogue, Array]:
    """Renumber tracks by popularity and build the matrices of what may be known.

    Returns
    -------
    logs : Logs
    catalogue : Catalogue
        Renumbered.
    place : Array [entities] of int32
        New number of each entity.
    """
    xp = engine.xp
    n_warm, n_users, n_tracks = people.sizes[0], sum(people.sizes), len(catalogue.ids["track"])
    n_entities = catalogue.n_entities
    warm = events.user < n_warm
    streamed = events.are("stream", "track")
    counted = warm & streamed
    if popularity_days:
        counted = counted & events.on_days(popularity_days)
    plays = events.where(counted).pairs(engine, (n_warm, n_tracks))
    catalogue, place = catalogue.by_popularity(
        engine, xp.bincount(plays.indices, minlength=n_tracks)
    )
    events = events._replace(entity=place[events.entity])
    plays = events.where(counted).pairs(engine, (n_warm, n_tracks))
    liked = events.are("favorite", "track", "artist", "album")
    owners = {"artist": catalogue.artist, "album": catalogue.album}
    registration = registration_matrix(
        engine, events.where(events.since == 0), owners, (n_users, n_entities)
    )
    history = plays
    if popularity_days:
        history = events.where(warm & streamed).pairs(engine, (n_warm, n_tracks))
    logs = Logs(
        user_ids=people.ids,
        n_warm=people.sizes[0],
        n_validation=people.sizes[1],
        n_test=people.sizes[2],
        n_target=people.sizes[3],
        age=people.age,
        country=people.country,
        countries=people.countries,
        track_ids=catalogue.ids["track"],
        popularity=xp.bincount(plays.indices, minlength=n_tracks).astype(xp.int32),
        genre=catalogue.genre,
        genres=catalogue.genres,
        artist_ids=catalogue.ids["artist"],
        album_ids=catalogue.ids["album"],
        playlist_ids=catalogue.ids["playlist"],
        members=catalogue.members(engine, listed),
        registration=registration,
        signals=signal_counts(engine, registration),
        history=history,
        favorites=events.where(warm & liked).pairs(engine, (n_warm, n_entities)),
        plays=plays,
        month=events.where(warm & streamed & events.on_days(truth_days)).pairs(
            engine, (n_warm, n_tracks)
        ),
        days=days,
    )
    return logs, catalogue, place


def _future(
    engine: Engine, people: _People, catalogue: Catalogue, events: Events, truth_days: int
) -> GroundTruth:
    """What validation and test users did on the days after registration."""
    n_warm, n_validation, n_test, _ = people.sizes
    n, n_tracks = n_validation + n_test, len(catalogue.ids["track"])
    measured = (events.user >= n_warm) & (events.user < n_warm + n)
    later = events.where(measured & events.on_days(truth_days))
    later = later._replace(user=later.user - n_warm)
    return GroundTruth(
        n_validation,
        n_test,
        people.ids[n_warm : n_warm + n],
        tracks=later.where(later.are("stream", "track")).pairs(engine, (n, n_tracks)),
        favorites=later.where(later.are("favorite", "track", "playlist")).pairs(
            engine, (n, catalogue.n_entities)
        ),
        playlists=_playlist_streams(engine, later, catalogue, n),
    )


def _playlist_streams(engine: Engine, later: Events, catalogue: Catalogue, n_cold: int) -> Csr:
    """Streams of playlists as such, by cold user."""
    streamed = later.where(later.are("stream", "playlist"))
    streamed = streamed._replace(entity=streamed.entity - catalogue.first("playlist"))
    return streamed.pairs(engine, (n_cold, len(catalogue.ids["playlist"])))
