"""Which users and events count: cohorts, the end of the logs, and what would tell the future."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data import cohorts
from gpu_coldstart.data.events import DAY, Events
from gpu_coldstart.data.extent import extent
from gpu_coldstart.data.losses import cold_losses, warm_losses
from gpu_coldstart.data.tables import SPLITS, Tables
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

__all__ = ["Registered", "Selection", "assign", "believed_playlists", "select", "settle"]


class Registered(NamedTuple):
    """The users of the tables, by ascending id.

    Attributes
    ----------
    rows : Array [users] of int64
        Places in the table of users.
    ids : Array [users] of int64
    moments : Array [users] of int64
        Of registration, microseconds since 1970 (UTC).
    given : Array [users] of int32 codes into SPLITS, or None
        The split, where the tables have one.
    """

    rows: Array
    ids: Array
    moments: Array
    given: Array | None

    @classmethod
    def of(cls, engine: Engine, tables: Tables) -> Registered:
        """The users of some tables."""
        users = tables.users
        rows = engine.xp.argsort(users["user_id"].values)
        given = users["split"].values[rows] if "split" in users else None
        return cls(rows, users["user_id"].values[rows], users["registered_at"].values[rows], given)

    @property
    def days(self) -> Array:
        """Days of registration, counted from 1970 [users] of int64."""
        return self.moments // DAY


class Selection(NamedTuple):
    """Which users and events count.

    Attributes
    ----------
    events : Events
        ``user`` is a place among the users by ascending id.
    cohort : Array [users] of int32
    rule : str
        By which the users were split.
    last_day : int or None
        Last day of warm events that counts, if that is not any.
    days : (int, int)
        First and last day of the warm users' streams of tracks that count, from 1970.
    notes : list of str
        Who and what was left out.
    """

    events: Events
    cohort: Array
    rule: str
    last_day: int | None
    days: tuple[int, int]
    notes: list[str]


def select(
    engine: Engine,
    split: SplitConfig,
    events: Events,
    users: Registered,
    *,
    n_entities: int,
    tested: bool,
    known: Callable[[], tuple[Events, list[str]]],
) -> Selection:
    """Assign users to cohorts, and drop the events that count for none.

    Parameters
    ----------
    known : callable
        Gives all events, those before registration included, to say where users went.

    Raises
    ------
    UserError
        When a cohort that is needed is empty, saying where its users went.
    """
    given, n_users = users.given, len(users.ids)
    # Where the tables say who is warm, the later days of others must not decide what is learned.
    dated = events if given is None else events.where(given[events.user] == cohorts.WARM)
    end = extent(engine, dated.day, dated.user, n_users).last if len(dated.day) else 0
    assigned = assign(engine, split, users, end, tested=tested)
    events, strays = _without_strays(engine, events, assigned.cohort, split, users, end=end)
    # Before users become targets for want of truth, on which what is learned must not depend.
    events, last_day, cut = _until(engine, events, assigned.cohort, users.days, split)
    streams = events.are("stream", "track") & (assigned.cohort[events.user] == cohorts.WARM)
    days = events.day[streams]
    return settle(
        engine,
        split,
        events,
        assigned._replace(notes=[*strays, *assigned.notes, *cut]),
        last_day=last_day,
        days=(int(days.min()), int(days.max())) if len(days) else (0, 0),
        n_entities=n_entities,
        tested=tested,
        known=known,
    )


def assign(
    engine: Engine, split: SplitConfig, users: Registered, end: int, *, tested: bool
) -> cohorts.Assigned:
    """Cohort of each user, as :func:`gpu_coldstart.data.cohorts.assign`.

    Raises
    ------
    UserError
        When a cohort that is needed has no user.
    """
    assigned = cohorts.assign(engine, split, users.given, users.days, end)
    assigned = _drawn(engine, assigned, split.warm_users)
    why = assigned.rule if users.given is None else "; ".join(assigned.notes)
    _check_cohorts(assigned.cohort, tested=tested, lost=lambda _: why)
    return assigned


def _drawn(engine: Engine, assigned: cohorts.Assigned, n: int) -> cohorts.Assigned:
    """Leave out all but ``n`` of the warm users, unless ``n`` is 0."""
    warm = (assigned.cohort == cohorts.WARM).nonzero()[0]
    if not 0 < n < len(warm):
        return assigned
    others = np.random.default_rng(0).permutation(len(warm))[n:]
    cohort = assigned.cohort.copy()
    cohort[warm[engine.asarray(others)]] = cohorts.LEFT_OUT
    note = f"{n} of {len(warm)} warm users drawn; the others are left out (split.warm_users)"
    return assigned._replace(cohort=cohort, notes=[*assigned.notes, note])


def settle(
    engine: Engine,
    split: SplitConfig,
    events: Events,
    assigned: cohorts.Assigned,
    *,
    last_day: int | None,
    days: tuple[int, int],
    n_entities: int,
    tested: bool,
    known: Callable[[], tuple[Events, list[str]]],
) -> Selection:
    """Leave out or make targets of users who did too little.

    Parameters
    ----------
    events : Events
        Those that count; :attr:`Events.day` is not looked at.
    assigned : Assigned
        With all notes so far.
    last_day, days
        As in :class:`Selection`.

    Raises
    ------
    UserError
        When a cohort that is needed is left without users.
    """
    cohort, short = _with_truth(engine, events, assigned.cohort, n_entities, split)
    cohort, idle = _with_history(engine, events, cohort)
    lost = partial(
        _losses,
        engine=engine,
        known=known,
        assigned=assigned.cohort,
        split=split,
        last_day=last_day,
    )
    _check_cohorts(cohort, tested=tested, lost=lost)
    notes = [*assigned.notes, *short, *idle]
    return Selection(events, cohort, assigned.rule, last_day, days, notes)


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
    pairs = truth.pairs(engine, (len(cohort), n_entities))
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
    engine: Engine,
    events: Events,
    cohort: Array,
    split: SplitConfig,
    users: Registered,
    *,
    end: int,
) -> tuple[Events, list[str]]:
    """Drop what warm users did after the end of the logs, by the dates of a few wrong clocks.

    Of others, only the registration day and the days of truth count, which may lie there.
    """
    stray, warm = events.day > end, cohort[events.user] == cohorts.WARM
    by_time = users.given is None
    noted = stray if by_time else stray & warm
    counts = engine.xp.bincount(events.day[noted])
    notes = cohorts.strays(split, users.days if by_time else None, counts, end)
    return events.where(~(stray & warm)), notes


def _until(
    engine: Engine, events: Events, cohort: Array, registered: Array, split: SplitConfig
) -> tuple[Events, int | None, list[str]]:
    """Drop the warm events that would tell the future; also returns the last day that counts."""
    warm = cohort[events.user] == cohorts.WARM
    counts = engine.xp.bincount(events.day[warm])
    last, notes = cohorts.last_warm_day(split, cohort, registered, counts)
    if last is not None:
        events = events.where(~warm | (events.day <= last))
    return events, last, notes


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


def believed_playlists(
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
