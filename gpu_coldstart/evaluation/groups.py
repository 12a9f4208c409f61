"""Users in groups, and means over each group with their intervals (4.1.4, Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.threads import over_rows
from gpu_coldstart.evaluation.protocol import interval, resampled_means

__all__ = [
    "EVERYWHERE",
    "FEWEST",
    "MOST_COUNTRIES",
    "SMALLER",
    "GroupMeans",
    "Grouping",
    "by_age",
    "by_count",
    "by_country",
    "commonest",
    "event_counts",
    "everywhere",
    "group_means",
    "interaction_groups",
    "interactions",
    "named",
]

MOST_COUNTRIES = 10
"""Countries that are named."""

EVERYWHERE = "all"
"""In place of a country."""

FEWEST = 20
"""Users of a group, fewer of whom say little."""

SMALLER = "smaller groups"
"""The groups of fewer users, together."""

_OTHER, _UNKNOWN = "other", "unknown"
_OURS = {EVERYWHERE, SMALLER, _OTHER, _UNKNOWN, "everybody", "n/a"}
"""What tables and figures call groups themselves."""

_FIRST_COUNTS = (0, 1, 3, 6, 11, 21)
"""First count of each group; the paper names one border, "at least three artists"."""

_NONE_AT_ALL = "none at all"


@dataclass(frozen=True)
class Grouping:
    """A partition of some users.

    Attributes
    ----------
    by : str
        What users are grouped by.
    labels : tuple of str
        Names of the groups, in their order; some may be empty.
    codes : HostArray [users] of integers
        Each user's place in ``labels``.
    """

    by: str
    labels: tuple[str, ...]
    codes: HostArray

    def members(self) -> Iterator[tuple[int, str, HostArray]]:
        """Order, label and places of the members [members] of each group that has any."""
        for order, label in enumerate(self.labels):
            places = np.flatnonzero(self.codes == order)
            if len(places):
                yield order, label, places

    def folded(self) -> Grouping:
        """The groups of fewer than 20 users as one, where there are several beside larger ones.

        Examples
        --------
        >>> groups = Grouping("country", ("BR", "DE", "FR"), np.repeat([0, 1, 2], [30, 2, 3]))
        >>> [(label, len(places)) for _, label, places in groups.folded().members()]
        [('BR', 30), ('smaller groups', 5)]
        """
        sizes = np.bincount(self.codes, minlength=len(self.labels))
        small = (sizes > 0) & (sizes < FEWEST)
        if small.sum() < 2 or sizes.max() < FEWEST:
            return self
        codes = np.where(small[self.codes], len(self.labels), self.codes)
        return Grouping(self.by, (*self.labels, SMALLER), codes)


def by_count(by: str, counts: HostArray, none: str = "0") -> Grouping:
    """Users by how many events [users] they have: 0, 1-2, 3-5, 6-10, 11-20, more.

    Parameters
    ----------
    none : str
        Name of the group without events.

    Examples
    --------
    >>> import numpy as np
    >>> groups = by_count("streams", np.array([0, 2, 21]))
    >>> [groups.labels[code] for code in groups.codes]
    ['0', '1-2', '>20']
    """
    middle = [f"{a}-{b - 1}" for a, b in pairwise(_FIRST_COUNTS[1:])]
    labels = (none, *middle, f">{_FIRST_COUNTS[-1] - 1}")
    codes = np.searchsorted(_FIRST_COUNTS, counts, side="right") - 1
    return Grouping(by, labels, codes)


def event_counts(signals: HostArray, name: str) -> HostArray:
    """Registration-day events of one signal [users] of int64, out of all of them [users, 18]."""
    place = [signal.name for signal in SIGNALS].index(name)
    return np.rint(signals[:, place]).astype(np.int64)


def interactions(signals: HostArray) -> HostArray:
    """Registration-day interactions of each user [users] of int64; 0 only without any signal.

    One stream, skip or ban of a track counts in three signals, the track's, its artist's and its
    album's. Of these the largest is taken, so that it is one interaction.

    Parameters
    ----------
    signals : HostArray [users, 18]
        In the order of :data:`gpu_coldstart.data.signals.SIGNALS`.
    """
    following = {signal.action for signal in SIGNALS if signal.follows_tracks}
    total = np.zeros(len(signals), np.int64)
    for action in dict.fromkeys(signal.action for signal in SIGNALS):
        counts = [event_counts(signals, s.name) for s in SIGNALS if s.action == action]
        total += np.max(counts, axis=0) if action in following else np.sum(counts, axis=0)
    return total


def interaction_groups(signals: HostArray) -> Grouping:
    """Users by their interactions; those with demographics only form a group of their own."""
    return by_count("interactions", interactions(signals), _NONE_AT_ALL)


def commonest(codes: HostArray, names: tuple[str, ...]) -> list[int]:
    """The up to ten codes that most users [users] have; equals by name; -1 is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> commonest(np.array([1, 2, 2, -1, 0]), ("FR", "DE", "BR"))
    [2, 1, 0]
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    there = [code for code in range(len(names)) if counts[code]]
    return sorted(there, key=lambda code: (-counts[code], names[code]))[:MOST_COUNTRIES]


def named(country: str) -> str:
    """A country's name, in quotation marks where a table has a group of its own of that name.

    Examples
    --------
    >>> named("BR"), named("Other"), named('"Other"')
    ('BR', '"Other"', '""Other""')
    """
    return f'"{country}"' if country.strip('"').casefold() in _OURS else country


def everywhere(codes: HostArray, names: tuple[str, ...]) -> Iterator[tuple[str, HostArray]]:
    """All users [users] of bool, then those of each of the ten commonest countries.

    Parameters
    ----------
    codes : HostArray [users] of integers
        Index into ``names``; -1 where unknown.
    """
    yield EVERYWHERE, np.full(len(codes), fill_value=True)
    for code in commonest(codes, names):
        yield named(names[code]), codes == code


def by_country(codes: HostArray, names: tuple[str, ...]) -> Grouping:
    """Users by country: the ten commonest of these users, ``other`` and ``unknown``.

    Parameters
    ----------
    codes : HostArray [users] of integers
        Index into ``names``; -1 where unknown.
    """
    common = commonest(codes, names)
    place = np.full(len(names) + 1, len(common))
    place[common] = np.arange(len(common))
    place[-1] = len(common) + 1  # where -1 points
    labels = (named(names[code]) for code in common)
    return Grouping("country", (*labels, _OTHER, _UNKNOWN), place[codes])


def by_age(codes: HostArray, names: tuple[str, ...]) -> Grouping:
    """Users by age class [users], -1 where unknown."""
    return Grouping("age", (*names, _UNKNOWN), np.where(codes < 0, len(names), codes))


@dataclass(frozen=True)
class GroupMeans:
    """Means of several series over one group, with 95 % bootstrap intervals.

    Attributes
    ----------
    order : int
    label : str
    users : int
    mean, low, high : HostArray [series] of float64
    """

    order: int
    label: str
    users: int
    mean: HostArray
    low: HostArray
    high: HostArray


def group_means(
    values: HostArray, grouping: Grouping, *, bootstrap: int, seed: int
) -> list[GroupMeans]:
    """Means of series [series, users] over each group; members are resampled within the group.

    Resamples are the same for all series and depend on nothing but the seed and the sizes.
    """
    groups = [*grouping.members()]
    found: dict[int, GroupMeans] = {}

    def work(place: int, _: int) -> None:
        order, label, places = groups[place]
        members = np.ascontiguousarray(values[:, places], np.float64)
        low, high = interval(resampled_means(members, bootstrap, (seed, 2, order)))
        found[place] = GroupMeans(order, label, len(places), members.mean(axis=1), low, high)

    over_rows(len(groups), 1, work)
    return [found[place] for place in range(len(groups))]
