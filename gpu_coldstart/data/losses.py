"""Where the users of a cohort went, when too few are left."""

from __future__ import annotations

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.events import Events
from gpu_coldstart.data.tables import ACTIONS, ENTITIES
from gpu_coldstart.engine.base import Array, Engine

__all__ = ["cold_losses", "warm_losses"]

Asked = list[tuple[Array, str]]
"""Masks of events, one of which each user should have, and words for users who have none."""

_NOTHING = "did nothing with known tracks, artists, albums or playlists"


def warm_losses(engine: Engine, events: Events, users: Array, until: int | None) -> str:
    """Why warm users are left out, with counts, in words.

    Parameters
    ----------
    events : Events
        All with known users and entities, those before registration included.
    users : Array [users] of bool
        Who the cohort should have been.
    until : int or None
        Last day of warm events that counts.
    """
    asked = [(events.since >= 0, "did nothing from their registration day on"), *_streams(events)]
    if until is not None:
        words = (
            f"streamed no track up to {day_name(until)}, the last day that counts for warm users"
        )
        asked.append((events.day <= until, f"{words} (split.warm_until)"))
    return _lost(engine, events, users, asked)


def cold_losses(engine: Engine, events: Events, users: Array, split: SplitConfig) -> str:
    """Why cold users are not measured, as :func:`warm_losses`."""
    days = f"in the {split.truth_days} days after it"
    asked = [
        (events.since >= 0, "did nothing from their registration day on"),
        (events.since >= 1, "did nothing after their registration day"),
        (events.since <= split.truth_days, f"did nothing {days} (split.truth_days)"),
        *_streams(events),
    ]
    few = f"streamed fewer than {split.min_truth} distinct tracks {days} (split.min_truth)"
    return _lost(engine, events, users, asked, few)


def _streams(events: Events) -> Asked:
    streamed = events.what // len(ENTITIES) == ACTIONS.index("stream")
    return [
        (streamed, "streamed nothing"),
        (events.are("stream", "track"), "streamed artists, albums or playlists, but no track"),
    ]


def _lost(engine: Engine, events: Events, users: Array, asked: Asked, rest: str = "") -> str:
    """How many users fall away at each thing asked for, one after another."""
    xp = engine.xp
    left, kept = users, xp.ones(len(events.user), dtype=bool)
    counts = []
    for mask, words in [(kept, _NOTHING), *asked]:
        kept = kept & mask
        there = left & (xp.bincount(events.user[kept], minlength=len(users)) > 0)
        counts.append((int(left.sum()) - int(there.sum()), words))
        left = there
    if rest:
        counts.append((int(left.sum()), rest))
    return ", ".join(f"{count} {words}" for count, words in counts if count)
