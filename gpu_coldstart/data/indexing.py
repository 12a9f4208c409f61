"""Checked tables turned into what the method works on: dense indices and sparse matrices.

This is where the rule "no interaction of a cold user after the registration day may influence
anything but the ground truth" is kept: such events reach
:class:`~gpu_coldstart.data.truth.GroundTruth`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data import cohorts
from gpu_coldstart.data.catalogue import Catalogue
from gpu_coldstart.data.catalogue import read as read_catalogue
from gpu_coldstart.data.events import DAY, Events, known_events
from gpu_coldstart.data.extent import extent
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.losses import cold_losses, warm_losses
from gpu_coldstart.data.registrations import ages, registration_matrix, signal_counts
from gpu_coldstart.data.tables import SPLITS, Tables
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.errors import UserError

__all__ = ["index"]


def index(
    engine: Engine,
    tables: Tables,
    split: SplitConfig,
    *,
    popularity_days: int = 0,
    tested: bool = True,
) -> tuple[Logs, GroundTruth]:
    """Number users and entities, split users into cohorts and build every matrix.

    Parameters
    ----------
    split : SplitConfig
    popularity_days : int
        Days after registration whose streams count for popularity; 0 counts the whole history.
    tested : bool
        Whether test users are needed.

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
    xp = engine.xp
    by_id = xp.argsort(tables.users["user_id"].values)
    user_keys = tables.users["user_id"].values[by_id]
    moments = tables.users["registered_at"].values[by_id]
    registered = moments // DAY
    is_given = "split" in tables.users
    given = tables.users["split"].values[by_id] if is_given else None

    catalogue, notes = read_catalogue(engine, tables)
    events, dropped = known_events(engine, tables, user_keys, moments, catalogue)
    # Where the tables say who is warm, the later days of others must not decide what is learned.
    dated = events if given is None else events.where(given[events.user] == cohorts.WARM)
    end = extent(engine, dated.day, dated.user, len(registered)).last if len(dated.day) else 0
    cohort, rule, apart = cohorts.assign(engine, split, given, registered, end)
    _check_cohorts(cohort, tested=tested, lost=lambda _: "; ".join(apart) if is_given else rule)
    assigned = cohort
    events, strays = _without_strays(events, cohort, end, split, None if is_given else registered)
    # Before users become targets for want of truth, on which what is learned must not depend.
    events, last_day_counted, cut = _until(events, cohort, registered, split)
    cohort, short = _with_truth(engine, events, cohort, catalogue.n_entities, split)
    cohort, idle = _with_history(engine, events, cohort)
    listed, hidden = _playlists_to_believe(engine, tables, user_keys, cohort, last_day_counted)
    every = partial(known_events, engine, tables, user_keys, moments, catalogue, early=True)
    lost = partial(
        _losses,
        engine=engine,
        known=every,
        assigned=assigned,
        split=split,
        last_day=last_day_counted,
    )
    _check_cohorts(cohort, tested=tested, lost=lost)

    users, place = _order_users(engine, cohort)
    events = events.where(place[events.user] >= 0)
    events = events._replace(user=place[events.user])
    people = _People.of(engine, tables, by_id[users], cohort[users], user_keys[users])
    logs, catalogue, place_of = _past(
        engine, people, catalogue, listed, events=events, popularity_days=popularity_days
    )
    events = events._replace(entity=place_of[events.entity])
    truth = _future(engine, people, catalogue, events, split.truth_days)
    notes = [*notes, *dropped, *strays, *apart, *cut, *short, *hidden, *idle]
    logs = replace(
        logs,
        split_rule=rule,
        notes=tuple(notes),
        ids=tables.ids,
        titles=Titles.of(engine, tables.tracks, tables.playlists),
    )
    return logs, truth


def _with_truth(
    engine: Engine, events: Events, cohort: Array, n_entities: int, split: SplitConfig
) -> tuple[Array, list[str]]:
    """Make targets of cold users with fewer distinct tracks of truth than asked for.

    Nobody can be measured against no track at all, whatever ``split.min_truth``.
    """
    xp = engine.xp
    least = max(1, split.min_truth)
    cold = cohorts.is_cold(cohort)
    judged = events.are("stream", "track") & events.on_days(split.truth_days)
    truth = events.where(judged & cold[events.user])
    pairs = _pairs(engine, truth, (len(cohort), n_entities))
    sizes = xp.diff(pairs.indptr)
    short = cold & (sizes < least)
    if not int(short.sum()):
        return cohort, []
    kept = xp.where(short, cohorts.TARGET, cohort).astype(xp.int32)
    few = "no track" if least == 1 else f"fewer than {least} distinct tracks"
    return kept, [
        f"{int(short.sum())} cold users streamed {few} in the {split.truth_days} days after "
        "registration: they get recommendations but are not measured"
    ]


def _check_cohorts(
    cohort: Array, *, tested: bool, lost: Callable[[str], str] = lambda name: ""
) -> None:
    """Refuse to go on without warm or validation users, or without test users where needed.

    Two warm users are the least: batch normalisation has no variance to work with in one.

    Parameters
    ----------
    lost : callable
        Tells why users who should be of a cohort are not.
    """
    needed = {"warm": 2, "validation": 1, "test": int(tested)}
    for name, least in needed.items():
        there = int((cohort == SPLITS.index(name)).sum())
        if there < least:
            few = f"one {name} user, too few to train on" if there else f"no {name} users"
            reasons = lost(name)
            raise UserError(
                f"the table of users leaves {few}{reasons and f' ({reasons})'}: give users whose "
                f"split is '{name}', or logs that go on for longer after their registration "
                "(split.truth_days, split.min_truth and split.cold_share set who counts)"
            )


def _losses(
    name: str,
    *,
    engine: Engine,
    known: Callable[[], tuple[Events, list[str]]],
    assigned: Array,
    split: SplitConfig,
    last_day: int | None,
) -> str:
    """Why users assigned to a cohort are not in it, from all their events."""
    events, users = known()[0], assigned == SPLITS.index(name)
    if name == "warm":
        return warm_losses(engine, events, users, last_day)
    return cold_losses(engine, events, users, split)


def _without_strays(
    events: Events, cohort: Array, end: int, split: SplitConfig, registered: Array | None
) -> tuple[Events, list[str]]:
    """Drop what warm users did after the end of the logs, by the dates of a few wrong clocks.

    Of others, only the registration day and the days of truth count, which may lie there.

    Parameters
    ----------
    registered : Array [users] of int64, or None
        Registration days where they decide who is cold.
    """
    stray, warm = events.day > end, cohort[events.user] == cohorts.WARM
    noted = stray & warm if registered is None else stray
    notes = cohorts.strays(split, registered, events.day[noted], end)
    return events.where(~(stray & warm)), notes


def _until(
    events: Events, cohort: Array, registered: Array, split: SplitConfig
) -> tuple[Events, int | None, list[str]]:
    """Drop the warm events that would tell the future; also returns the last day that counts."""
    warm = cohort[events.user] == cohorts.WARM
    last, notes = cohorts.last_warm_day(split, cohort, registered, events.day[warm])
    if last is not None:
        events = events.where(~warm | (events.day <= last))
    return events, last, notes


def _playlists_to_believe(
    engine: Engine, tables: Tables, user_keys: Array, cohort: Array, last_day: int | None
) -> tuple[Array, list[str]]:
    """Mask of the playlist rows that do not tell a cold user's future.

    A playlist with an owner counts only if that is a warm user, one with a date only up to the
    last day of warm events that counts.
    """
    xp = engine.xp
    table = tables.playlists
    if table is None:
        return xp.zeros(0, dtype=bool), []
    believed = xp.ones(len(table["playlist_id"].values), dtype=bool)
    owner = table.get("user_id")
    if owner is not None:
        user = engine.lookup(owner.values, user_keys)
        warm = (user >= 0) & (cohort[xp.maximum(user, 0)] == cohorts.WARM)
        believed &= warm if owner.valid is None else warm | ~owner.valid
    made = table.get("created_at")
    if made is not None and last_day is not None:
        early = made.values // DAY <= last_day
        believed &= early if made.valid is None else early | ~made.valid
    hidden = int((~believed).sum())
    if not hidden:
        return believed, []
    return believed, [
        f"{hidden} of {len(believed)} playlist rows belong to users who are not warm, or come "
        "after the last day of warm events that counts; left out"
    ]


def _with_history(engine: Engine, events: Events, cohort: Array) -> tuple[Array, list[str]]:
    """Leave out warm users who never streamed a track: no space has a place for them."""
    xp = engine.xp
    streams = events.user[events.are("stream", "track")]
    played = xp.bincount(streams, minlength=len(cohort)) > 0
    idle = (cohort == cohorts.WARM) & ~played
    if not int(idle.sum()):
        return cohort, []
    kept = xp.where(idle, cohorts.LEFT_OUT, cohort).astype(xp.int32)
    return kept, [f"{int(idle.sum())} warm users never streamed a known track; left out"]


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
    popularity_days: int,
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
    plays = _pairs(engine, events.where(counted), (n_warm, n_tracks))
    catalogue, place = catalogue.by_popularity(
        engine, xp.bincount(plays.indices, minlength=n_tracks)
    )
    events = events._replace(entity=place[events.entity])
    plays = _pairs(engine, events.where(counted), (n_warm, n_tracks))
    liked = events.are("favorite", "track", "artist", "album")
    owners = {"artist": catalogue.artist, "album": catalogue.album}
    registration = registration_matrix(
        engine, events.where(events.since == 0), owners, (n_users, n_entities)
    )
    history = plays
    if popularity_days:
        history = _pairs(engine, events.where(warm & streamed), (n_warm, n_tracks))
    days = events.day[warm & streamed]
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
        favorites=_pairs(engine, events.where(warm & liked), (n_warm, n_entities)),
        plays=plays,
        days=(int(days.min()), int(days.max())),
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
        tracks=_pairs(engine, later.where(later.are("stream", "track")), (n, n_tracks)),
        favorites=_pairs(
            engine,
            later.where(later.are("favorite", "track", "playlist")),
            (n, catalogue.n_entities),
        ),
        playlists=_playlist_streams(engine, later, catalogue, n),
    )


def _pairs(engine: Engine, events: Events, shape: tuple[int, int]) -> Csr:
    """Events of each user with each entity, added up."""
    return engine.csr(events.user, events.entity, events.count, shape)


def _playlist_streams(engine: Engine, later: Events, catalogue: Catalogue, n_cold: int) -> Csr:
    """Streams of playlists as such, by cold user."""
    streamed = later.where(later.are("stream", "playlist"))
    streamed = streamed._replace(entity=streamed.entity - catalogue.first("playlist"))
    return _pairs(engine, streamed, (n_cold, len(catalogue.ids["playlist"])))
