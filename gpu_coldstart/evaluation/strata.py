"""Whom the recommendations serve well: measures by what is known about a user (Figure 4)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.evaluation.groups import (
    Grouping,
    by_age,
    by_count,
    by_country,
    event_counts,
    group_means,
    interaction_groups,
)
from gpu_coldstart.evaluation.protocol import Sample

__all__ = ["groupings", "strata"]

_COUNTED = {
    "onboarding_artists": "onboarding_like_artists",
    "streams": "streamed_songs",
    "skips": "skipped_songs",
}
"""What the paper's Figure 4 groups users by, and the signal that counts it."""


def groupings(
    signals: HostArray,
    country: tuple[HostArray, tuple[str, ...]],
    age: tuple[HostArray, tuple[str, ...]],
) -> list[Grouping]:
    """All groupings of the users, the small groups folded together.

    Parameters
    ----------
    signals : HostArray [users, 18]
        Registration-day events of each signal.
    country, age : (HostArray [users] of integers, names)
        Code of each user among the names, -1 where unknown.
    """
    counted = [by_count(by, event_counts(signals, name)) for by, name in _COUNTED.items()]
    known = (interaction_groups(signals), by_country(*country), by_age(*age))
    return [grouping.folded() for grouping in (*counted, *known)]


def strata(
    sample: Sample, among: list[Grouping], *, bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Means and 95 % intervals of every series over every group that has members.

    Within each ``by`` the groups partition the users, so means weighted by ``users`` add up to the
    mean over all.
    """
    rows = []
    for grouping in among:
        for group in group_means(sample.values, grouping, bootstrap=bootstrap, seed=seed):
            rows += [
                {
                    **place._asdict(),
                    "by": grouping.by,
                    "group": group.label,
                    "order": group.order,
                    "users": group.users,
                    "mean": float(group.mean[i]),
                    "low": float(group.low[i]),
                    "high": float(group.high[i]),
                }
                for i, place in enumerate(sample.places)
            ]
    return rows
