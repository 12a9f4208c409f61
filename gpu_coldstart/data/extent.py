"""Where dated things begin and end, whatever a few wrong clocks say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpu_coldstart.engine.base import Array, Engine, HostArray

__all__ = ["SHARE", "SILENCE", "THINNER", "Extent", "extent", "extent_of_counts"]

SILENCE = 7
"""Days in a row without anything that may part strays from the rest, at least."""

THINNER = 100
"""How many times as much the silence would have held, at the rest's pace, as the strays do."""

SHARE = 0.05
"""Most that strays may be of everything."""


class Extent(NamedTuple):
    """First and last day, counted from 1970, of what is not stray."""

    first: int
    last: int


def extent(engine: Engine, days: Array, users: Array, n_users: int) -> Extent:
    """First and last day of all but strays.

    Days at either end are stray if at least ``SILENCE`` silent days part them from the rest, which
    at the pace of the middle half of everything would have held more than ``THINNER`` times as
    much, and they hold no more than ``SHARE`` of everything. What is counted is users on days, so
    that one busy device with a wrong clock counts little.

    Parameters
    ----------
    days : Array [things] of int
        At least one.
    users : Array [things] of int32
        Who did it.
    """
    xp = engine.xp
    start = int(days.min())
    place = (days - start).astype(xp.int32)
    n_days = int(place.max()) + 1
    if not _pauses(engine.to_host(xp.bincount(place, minlength=n_days))).any():
        return Extent(start, start + n_days - 1)
    ones = xp.ones(len(place), dtype=xp.float32)
    counts = np.diff(engine.to_host(engine.csr(place, users, ones, (n_days, n_users)).indptr))
    return extent_of_counts(start, counts)


def extent_of_counts(start: int, counts: HostArray) -> Extent:
    """As :func:`extent`, from how many users did something on each day.

    Parameters
    ----------
    start : int
        First day of ``counts``.
    counts : HostArray [days] of int
        The first and the last are not zero.
    """
    return Extent(start + len(counts) - 1 - _last(counts[::-1]), start + _last(counts))


def _pauses(counts: Any) -> Any:
    """Silent days after each busy day but the last."""
    silent: Any = np.diff(np.flatnonzero(counts)) - 1
    return np.where(silent >= SILENCE, silent, 0)


def _last(counts: Any) -> int:
    """Last day that is not stray, from the counts of each day."""
    busy, total = np.flatnonzero(counts), counts.sum()
    sums = counts.cumsum()
    quarter, three_quarters = np.searchsorted(sums, [total / 4, 3 * total / 4])
    pace = total / 2 / (three_quarters - quarter + 1)
    pauses, later = _pauses(counts), total - sums[busy[:-1]]
    stray = (later * THINNER < pauses * pace) & (later <= SHARE * total)
    return int(busy[:-1][stray].min(initial=busy[-1]))
