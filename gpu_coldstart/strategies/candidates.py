"""Candidates for a user's list, and what is known of each: experts' opinions, own signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_coldstart.data.catalogue import entries, owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SIGNALS, signal_place
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.strategies.base import Context, Strategy, Users

__all__ = ["DEPTH", "OWN", "Candidates", "Makers", "candidates", "makers"]

DEPTH = 100
"""Ranks in an expert's list that count."""

OWN = tuple(signal.name for signal in SIGNALS if signal.entity != "playlist")
"""A user's own signals on a track, its artist and its album."""

_KINDS = {signal.name: signal.entity for signal in SIGNALS}


@dataclass(frozen=True)
class Makers:
    """Who made each track.

    Attributes
    ----------
    artists, albums : Array [tracks] of int32
        Entity of the track's artist and album, as in a user's signals; -1 without one.
    """

    artists: Array
    albums: Array


def makers(engine: Engine, logs: Logs) -> Makers:
    """The artist and the album of each track."""
    artists, albums = (
        owners(engine, logs.members, rows.start, rows.stop) for rows in (logs.artists, logs.albums)
    )
    return Makers(artists, albums)


@dataclass(frozen=True)
class Candidates:
    """The tracks that may come into users' lists, and what is known of them.

    Attributes
    ----------
    tracks : Array [users, m] of int32
        Distinct and ascending as far as a user has candidates; what follows counts for nothing.
    listed : Array [users, m, experts + 1] of bool
        Whether it is in each expert's list, then whether in the user's own.
    features : Array [users, m, 2 experts + 1 + own] of float32
        For each expert, how near the score is to the expert's best, from 0 for the last of the
        list or a track not in it to 1, and ``log((depth + 1) / rank)``, 0 if not in it. Then
        popularity, ``-log`` of its rank. Then ``log(1 + n)`` of each of ``OWN``.
    """

    tracks: Array
    listed: Array
    features: Array

    @property
    def allowed(self) -> Array:
        """Whether to count it as a candidate [users, m] of bool."""
        return self.listed.any(axis=2)

    def take(self, rows: Any) -> Candidates:
        """Those of some of the users."""
        return Candidates(self.tracks[rows], self.listed[rows], self.features[rows])

    def of(self, xp: Any, experts: Sequence[int]) -> Candidates:
        """What they were with only some of the experts, by place."""
        own = self.listed[:, :, -1:]
        listed = [*(self.listed[:, :, place : place + 1] for place in experts), own]
        return Candidates(
            self.tracks, xp.concatenate(listed, axis=2), self.only(xp, self.features, experts)
        )

    def only(self, xp: Any, features: Array, experts: Sequence[int]) -> Array:
        """Of something for each feature [..., f], what is left with only some of the experts."""
        opinions = [features[..., 2 * place : 2 * place + 2] for place in experts]
        rest = features[..., 2 * self.listed.shape[2] - 2 :]
        return xp.concatenate([*opinions, rest], axis=-1)


def candidates(
    context: Context, users: Users, experts: Mapping[str, Strategy], made: Makers, k: int
) -> Candidates:
    """All tracks that any expert would list, or the user's own list.

    An expert lists the 100 tracks that it ranks first, or ``k`` if more. The user's own list, as
    long, begins with what the user streamed that day, by number of streams, and goes on with the
    chart, so that there are always enough candidates.
    """
    engine, xp = context.engine, context.engine.xp
    depth = min(max(DEPTH, k), context.n_tracks)
    rankings = [expert.recommend(users, depth) for expert in experts.values()]
    own, _ = engine.row_top(users.streamed(context), depth)
    tracks, places = _distinct(xp, [*(each.tracks for each in rankings), own])
    features = xp.zeros((*tracks.shape, 2 * len(rankings) + 1 + len(OWN)), dtype=xp.float32)
    counted = min(DEPTH, depth)
    ranks = xp.zeros(counted + 1)
    ranks[:counted] = xp.log((DEPTH + 1) / (xp.arange(counted) + 1.0))
    for number, ranking in enumerate(rankings):
        place = places[:, :, number]
        seat = xp.where((place >= 0) & (place < counted), place, counted)
        near = _nearness(xp, ranking.scores[:, :counted])
        features[:, :, 2 * number] = xp.take_along_axis(near, seat, 1)
        features[:, :, 2 * number + 1] = ranks[seat]
    features[:, :, 2 * len(rankings)] = -xp.log1p(tracks)
    _own_signals(context, users, made, tracks, features[:, :, 2 * len(rankings) + 1 :])
    return Candidates(tracks, places >= 0, features)


def _distinct(xp: Any, lists: Sequence[Array]) -> tuple[Array, Array]:
    """What is in any list of each user.

    Parameters
    ----------
    lists : sequence of Array [n, k] of int32
        A list's tracks are distinct.

    Returns
    -------
    tracks : Array [n, m] of int32
        Ascending, then nulls.
    places : Array [n, m, lists] of int64
        Where a track stands in each list; -1 where it does not, and for what follows the tracks.
    """
    n, k = lists[0].shape
    every = k * len(lists)
    # A sort of integers that tell where they came from is faster than one that has to say so.
    keys = xp.concatenate(lists, axis=1).astype(xp.int64) * every + xp.arange(every)
    keys.sort(axis=1)
    ascending = keys // every
    first = xp.ones(keys.shape, dtype=bool)
    first[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    column = xp.cumsum(first, axis=1) - 1
    m = int(column[:, -1].max()) + 1 if n else 0
    row = xp.arange(n)[:, None]
    tracks = xp.zeros((n, m), dtype=xp.int32)
    tracks[row, column] = ascending
    origin = keys - ascending * every
    places = xp.full((n, m, len(lists)), -1)
    places[row, column, origin // k] = origin % k
    return tracks, places


def _nearness(xp: Any, scores: Array) -> Array:
    """How near scores [n, k] are to the first of their list, 0 for the last; a null for no rank."""
    span = scores[:, :1] - scores[:, -1:]
    near = xp.zeros((len(scores), scores.shape[1] + 1), dtype=xp.float32)
    near[:, :-1] = (scores - scores[:, -1:]) / xp.where(span > 0, span, 1)
    return near


def _own_signals(
    context: Context, users: Users, made: Makers, tracks: Array, features: Array
) -> None:
    """Write ``log(1 + n)`` of what users did with tracks [n, m], where they did, to ``features``.

    Most users did little: what they did is looked up for all signals at once.
    """
    engine, xp = context.engine, context.engine.xp
    day = users.day(context)
    if not day.nnz:
        return
    n_entities = day.shape[1]
    row, entity = entries(engine, day)
    keys, slot = xp.unique(
        row.astype(xp.int64) // len(SIGNALS) * n_entities + entity, return_inverse=True
    )
    done = xp.zeros((len(keys), len(SIGNALS)), dtype=xp.float32)
    done[slot, row % len(SIGNALS)] = xp.log1p(day.data)
    first = xp.arange(len(tracks))[:, None] * n_entities
    entities = {"track": tracks, "artist": made.artists[tracks], "album": made.albums[tracks]}
    for kind, theirs in entities.items():
        wanted = first + theirs
        found = xp.minimum(xp.searchsorted(keys, wanted), len(keys) - 1)
        user, column = ((keys[found] == wanted) & (theirs >= 0)).nonzero()
        mine = done[found[user, column]]
        for place, name in enumerate(OWN):
            if _KINDS[name] == kind:
                features[user, column, place] = mine[:, signal_place(name)]
