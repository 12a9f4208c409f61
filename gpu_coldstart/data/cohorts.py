"""Who is warm, who is cold, and which warm events count (4.1.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.errors import UserError

__all__ = [
    "LEFT_OUT",
    "TARGET",
    "TEST",
    "VALIDATION",
    "WARM",
    "assign",
    "day_name",
    "last_warm_day",
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


def assign(
    engine: Engine, split: SplitConfig, given: Array | None, registered: Array, last_day: int
) -> tuple[Array, str]:
    """Cohort of each user.

    The tables' own split is taken where there is one. Otherwise the users registered last are
    cold, as in the paper: of all users with ``split.truth_days`` days on record after their
    registration day, about ``split.cold_share``, cut at a whole day, alternately validation and
    test in the order of their ids. Users registered too late for that are targets: recommended to,
    never measured.

    Parameters
    ----------
    given : Array [users] of int32 codes into SPLITS, or None
    registered : Array [users] of int64
        Registration day, counted from 1970, of the users in ascending order of their ids.
    last_day : int
        Day of the last interaction.

    Returns
    -------
    cohort : Array [users] of int32
        ``WARM``, ``VALIDATION``, ``TEST``, ``TARGET`` or ``LEFT_OUT``.
    rule : str
        The rule and its dates.
    """
    xp = engine.xp
    if given is not None:
        return given.astype(xp.int32), "split as the table of users says"

    complete = registered <= last_day - split.truth_days
    days = xp.sort(registered[complete])
    if len(days) == 0:
        raise UserError(
            f"the interactions end on {day_name(last_day)}, less than {split.truth_days} days "
            "after every registration: give longer logs, or set split.truth_days lower"
        )
    first_cold = int(days[min(len(days) - 1, int((1 - split.cold_share) * len(days)))])
    cold = complete & (registered >= first_cold)
    rank = xp.cumsum(cold) - 1
    cohort = xp.where(registered < first_cold, WARM, TARGET)
    cohort = xp.where(cold, VALIDATION + rank % 2, cohort).astype(xp.int32)
    rule = (
        f"split by time: users registered before {day_name(first_cold)} are warm, from then to "
        f"{day_name(int(days[-1]))} cold, half validation and half test"
    )
    late = int((~complete).sum())
    if late:
        rule += (
            f"; {late} registered later are recommended to but not measured, as fewer than "
            f"{split.truth_days} days follow on record"
        )
    return cohort, rule


def last_warm_day(
    split: SplitConfig, cohort: Array, registered: Array, warm_days: Array
) -> tuple[int | None, list[str]]:
    """Last day of warm events that counts, or None for all of them.

    Parameters
    ----------
    cohort, registered : Array [users]
    warm_days : Array [events] of int64
        Day of each event of a warm user.

    Returns
    -------
    day : int or None
    notes : list of str
        How many events that leaves out, or what it means that they are kept.
    """
    first_cold = int(registered[(cohort == VALIDATION) | (cohort == TEST)].min())
    late = int((warm_days > first_cold).sum())
    if split.warm_until == "all":
        return None, []
    if split.warm_until == "auto" and 2 * late > len(warm_days):
        return None, [
            f"warning: {late} of {len(warm_days)} events of warm users come after the first cold "
            f"registration day {day_name(first_cold)} and are kept, as little would be left "
            "without them; set split.warm_until = 'first-cold-day' to leave them out"
        ]
    if not late:
        return first_cold, []  # playlists may still come later
    return first_cold, [
        f"{late} of {len(warm_days)} events of warm users come after the first cold registration "
        f"day {day_name(first_cold)} and are left out (split.warm_until)"
    ]
