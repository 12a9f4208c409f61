"""Which users and events count: cohorts, the end of the logs, and what would tell the future."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data import cohorts
from gpu_coldstart.data.events import DAY, Events
from gpu_coldstart.data.extent import extent
from gpu_coldstart.data.losses import cold_losses, warm_losses
from gpu_coldstart.data.tables import SPLITS, Tables
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

__all__ = ["Selection", "believed_playlists", "select"]


class Selection(NamedTuple):
    """Which users and events count.

    Attributes
    ----------
    events : Events
    cohort : Array [users] of int32
    rule : str
        By which the users were split.
    last_day : int or None
        Last day of warm events that counts, if that is not any.
    notes : list of str
        Who and what was left out.
    """

    events: Events
    cohort: Array
    rule: str
    last_day: int | None
    notes: list[str]


def select(
    engine: Engine,
    split: SplitConfig,
    events: Events,
    registered: Array,
    given: Array | None,
    *,
    n_entities: int,
    tested: bool,
    known: Callable[[], tuple[Events, list[str]]],
) -> Selection:
    """Assign users to cohorts, and drop the events that count for none.

    Parameters
    ----------
    registered : Array [users] of int64
        Registration days.
    given : Array [users] of int32 codes into SPLITS, or None
        What the tables say.
    known : callable
        Gives all events, those before registration included, to say where users went.

    Raises
    ------
    UserError
        When a cohort that is needed is empty, saying where its users went.
    """
    # Where the tables say who is warm, the later days of others must not decide what is learned.
    dated = events if given is None else events.where(given[events.user] == cohorts.WARM)
    end = extent(engine, dated.day, dated.user, len(registered)).last if len(dated.day) else 0
    cohort, rule, apart = cohorts.assign(engine, split, given, registered, end)
    why = rule if given is None else "; ".join(apart)
    _check_cohorts(cohort, tested=tested, lost=lambda _: why)
    assigned = cohort
    events, strays = _without_strays(
        events, cohort, end, split, registered if given is None else None
    )
    # Before users become targets for want of truth, on which what is learned must not depend.
    events, last_day, cut = _until(events, cohort, registered, split)
    cohort, short = _with_truth(engine, events, cohort, n_entities, split)
    cohort, idle = _with_history(engine, events, cohort)
    lost = partial(
        _losses, engine=engine, known=known, assigned=assigned, split=split, last_day=last_day
    )
    _check_cohorts(cohort, tested=tested, lost=lost)
    return Selection(events, cohort, rule, last_day, [*strays, *apart, *cut, *short, *idle])


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
