"""What a user did with tracks on registration day, as examples to learn the user's taste from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import SIGNALS, signal_place
from gpu_coldstart.engine.base import Array, Csr, Engine

__all__ = ["Support", "supports"]


@dataclass(frozen=True)
class Support:
    """Labelled tracks of users, as many columns for everybody.

    Attributes
    ----------
    tracks : Array [users, m] of int32
    labels : Array [users, m] of float32
        1 for a track that the user wanted, 0 for another.
    shares : Array [users, m] of float32
        Of each in the user's mean; 0 where there is none. Rows add up to 1, or are null.
    """

    tracks: Array
    labels: Array
    shares: Array

    def take(self, rows: Any) -> Support:
        """Those of some of the users."""
        return Support(self.tracks[rows], self.labels[rows], self.shares[rows])


def supports(
    engine: Engine,
    registrations: Registrations,
    users: Array,
    *,
    order: Array,
    size: int,
) -> Support:
    """The first day of some users [n], in three parts of ``size`` columns each.

    First what was streamed or made a favourite, at label 1; of more than ``size`` tracks those of
    the most events, equals by popularity. Then what was skipped or banned, likewise, at label 0.
    Then, at label 0, as many drawn tracks as there are at label 1, but for those among the latter.
    They follow each other in one order of all tracks, from a place that only the user's own tracks
    decide: nobody's depend on the others.

    Parameters
    ----------
    users : Array [n] of integers
        Their numbers.
    order : Array [tracks] of int32
        All tracks, shuffled.
    size : int
    """
    xp, n, n_tracks = engine.xp, len(users), len(order)
    size = min(size, n_tracks)

    def top(*names: str) -> tuple[Array, Array]:
        did = [_rows(engine, registrations, users, name) for name in names]
        rows, columns = (
            xp.concatenate(each) for each in zip(*(entries(engine, m) for m in did), strict=True)
        )
        counts = xp.concatenate([each.data for each in did])
        found, events = engine.row_top(engine.csr(rows, columns, counts, (n, n_tracks)), size)
        return found, events > 0

    liked, held = top("streamed_songs", "favorite_songs")
    disliked, refused = top("skipped_songs", "banned_songs")
    places = xp.arange(size)
    start = xp.where(held, liked, 0).sum(axis=1)[:, None]
    drawn = order[(start + places) % n_tracks]
    own = ((drawn[:, :, None] == liked[:, None, :]) & held[:, None, :]).any(axis=2)
    other = (places < held.sum(axis=1)[:, None]) & ~own
    there = xp.concatenate([held, refused, other], axis=1).astype(xp.float32)
    labels = xp.zeros_like(there)
    labels[:, :size] = 1
    return Support(
        xp.concatenate([liked, disliked, drawn], axis=1),
        labels,
        there / xp.maximum(there.sum(axis=1, keepdims=True), 1),
    )


def _rows(engine: Engine, registrations: Registrations, users: Array, name: str) -> Csr:
    """Tracks of one signal of users [n, entities], by number of events."""
    return engine.take_rows(registrations.events, users * len(SIGNALS) + signal_place(name))
