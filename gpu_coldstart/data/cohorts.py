"""Who is warm, who is cold, and which warm events count (4.1.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data.extent import Extent, extent
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

__all__ = [
    "LEFT_OUT",
    "TARGET",
    "TEST",
    "VALIDATION",
    "WARM",
    "Assigned",
    "assign",
    "day_name",
    "is_cold",
    "last_warm_day",
    "period",
    "strays",
]

WARM, VALIDATION, TEST, TARGET, LEFT_OUT = 0, 1, 2, 3, 4
"""Cohort codes; all but the last are places in :data:`gpu_coldstart.data.tables.SPLITS`."""


def day_name(day: int) -> str:
    """ISO date of a day counted from 1970.

    Examples
    --------
    >>> day_name(18567)
    '2020-11-01'
    """
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(day))).date().isoformat()


class Assigned(NamedTuple):
    """Who is what, before anybody becomes a target for want of truth.

    Attributes
    ----------
    cohort : Array [users] of int32
        ``WARM``, ``VALIDATION``, ``TEST``, ``TARGET`` or ``LEFT_OUT``.
    rule : str
        The rule and its dates.
    notes : list of str
        Who is not measured as they registered apart from all others.
    """

    cohort: Array
    rule: str
    notes: list[str]


def assign(
    engine: Engine, split: SplitConfig, given: Array | None, registered: Array, last_day: int
) -> Assigned:
    """Cohort of each user.

    The tables' own split is taken where there is one. Otherwise the users registered last are
    cold, as in the paper: of all users with ``split.truth_days`` days on record after their
    registration day, about ``split.cold_share``, cut at a whole day, alternately validation and
    test in the order of their ids. Users registered too late for that are targets: recommended to,
    never measured.

    Cold users whose registration is stray (:func:`~gpu_coldstart.data.extent.extent`) would move
    dates for everybody, and are targets, too: late ones where time splits, early ones where the
    tables do.

    Parameters
    ----------
    given : Array [users] of int32 codes into SPLITS, or None
    registered : Array [users] of int64
        Registration day, counted from 1970, of the users in ascending order of their ids.
    last_day : int
        Last day of the logs.
    """
    if given is not None:
        return _as_given(engine, given.astype(engine.xp.int32), registered)
    return _by_time(engine, split, registered, last_day)


def _as_given(engine: Engine, cohort: Array, registered: Array) -> Assigned:
    xp = engine.xp
    rule = "split as the table of users says"
    cold = is_cold(cohort)
    if not bool(cold.any()):
        return Assigned(cohort, rule, [])
    apart = cold & (registered < _registrations(engine, registered, cold).first)
    kept = xp.where(apart, TARGET, cohort).astype(xp.int32)
    return Assigned(kept, rule, _apart(engine, registered[apart]))


def _by_time(engine: Engine, split: SplitConfig, registered: Array, last_day: int) -> Assigned:
    xp = engine.xp
    complete = registered <= last_day - split.truth_days
    if not bool(complete.any()):
        raise UserError(
            f"the interactions end on {day_name(last_day)}, less than {split.truth_days} days "
            "after every registration: give longer logs, or set split.truth_days lower"
        )
    last = _registrations(engine, registered, complete).last
    whole = complete & (registered <= last)
    days = xp.sort(registered[whole])
    first_cold = int(days[min(len(days) - 1, int((1 - split.cold_share) * len(days)))])
    cold = whole & (registered >= first_cold)
    rank = xp.cumsum(cold) - 1
    cohort = xp.where(registered < first_cold, WARM, TARGET)
    cohort = xp.where(cold, VALIDATION + rank % 2, cohort).astype(xp.int32)
    rule = (
        f"split by time: users registered before {day_name(first_cold)} are warm, from then to "
        f"{day_name(last)} cold, half validation and half test"
    )
    late = int((~complete).sum())
    if late:
        rule += (
            f"; {late} registered later are recommended to but not measured, as fewer than "
            f"{split.truth_days} days follow on record"
        )
    return Assigned(cohort, rule, _apart(engine, registered[complete & ~whole]))


def is_cold(cohort: Array) -> Array:
    """Mask of the users who are to be measured."""
    return (cohort == VALIDATION) | (cohort == TEST)


def _registrations(engine: Engine, registered: Array, who: Array) -> Extent:
    """When these users registered, but for strays."""
    users = engine.xp.arange(len(registered), dtype=engine.xp.int32)
    return extent(engine, registered[who], users[who], len(registered))


def _apart(engine: Engine, days: Array) -> list[str]:
    """A note on stray registrations."""
    if not len(days):
        return []
    return [
        f"{len(days)} users registered apart from all others, {period(days)}: they get "
        "recommendations but are not measured, and no date of the split depends on them"
    ]


def period(days: Array) -> str:
    """On which day, or between which, in words."""
    first, last = day_name(days.min()), day_name(days.max())
    return f"on {first}" if first == last else f"from {first} to {last}"


def strays(split: SplitConfig, registered: Array | None, counts: Array, last_day: int) -> list[str]:
    """A note on stray interactions after the end of the logs.

    Parameters
    ----------
    registered : Array [users] of int64, or None
        Registration days where they decide who is cold.
    counts : Array [days] of int
        Stray interactions of each day from 1970 on.
    """
    days = counts.nonzero()[0]
    if not len(days):
        return []
    note = (
        f"{int(counts.sum())} interactions are dated apart from all others, {period(days)}, while "
        f"the logs end on {day_name(last_day)}: those of warm users are left out"
    )
    if registered is not None:
        latest = int(days.max())
        end = registered + split.truth_days
        more = int(((end > last_day) & (end <= latest)).sum())
        note += f", and none moves that end to {day_name(latest)}"
        if more:
            note += f", with {more} more users measured on days that are not on record"
    return [f"{note}; correct their dates or drop the rows"]


def last_warm_day(
    split: SplitConfig, cohort: Array, registered: Array, counts: Array
) -> tuple[int | None, list[str]]:
    """Last day of warm events that counts, or None for all of them.

    Parameters
    ----------
    cohort, registered : Array [users]
    counts : Array [days] of int
        Events of warm users of each day from 1970 on.

    Returns
    -------
    day : int or None
    notes : list of str
        How many events that leaves out, or what it means that they are kept.
    """
    first_cold = int(registered[is_cold(cohort)].min())
    late, total = int(counts[first_cold + 1 :].sum()), int(counts.sum())
    if split.warm_until == "all":
        return None, []
    if split.warm_until == "auto" and 2 * late > total:
        return None, [
            f"warning: {late} of {total} events of warm users come after the first cold "
            f"registration day {day_name(first_cold)} and are kept, as little would be left "
            "without them; set split.warm_until = 'first-cold-day' to leave them out"
        ]
    if not late:
        return first_cold, []  # playlists may still come later
    return first_cold, [
        f"{late} of {total} events of warm users come after the first cold registration "
        f"day {day_name(first_cold)} and are left out (split.warm_until)"
    ]
