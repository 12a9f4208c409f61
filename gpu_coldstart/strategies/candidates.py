"""Candidates for a user's list, and what is known of each: experts' opinions, own signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_coldstart.data.catalogue import entries, owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.engine.base import Array, Csr, Engine
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
        Ascending in a row; a track may stand there several times.
    listed : Array [users, m, experts + 1] of bool
        Whether it is in each expert's list, then whether in the user's own; only the first time.
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

    def packed(self, xp: Any) -> Candidates:
        """The same in as few columns as hold them."""
        allowed = self.allowed
        width = int(allowed.sum(axis=1).max()) if len(allowed) else 0
        order = xp.argsort(~allowed, axis=1, kind="stable")[:, :width]
        listed, features = (
            xp.take_along_axis(each, order[:, :, None], 1) for each in (self.listed, self.features)
        )
        return Candidates(xp.take_along_axis(self.tracks, order, 1), listed, features)

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
    lists = [*(each.tracks for each in rankings), own]
    tracks = xp.sort(xp.concatenate(lists, axis=1), axis=1)
    first = xp.ones(tracks.shape, dtype=bool)
    first[:, 1:] = tracks[:, 1:] != tracks[:, :-1]
    places = [_places(xp, each, tracks, context.n_tracks) for each in lists]
    listed = xp.stack([(each >= 0) & first for each in places], axis=2)
    features = xp.zeros((*tracks.shape, 2 * len(rankings) + 1 + len(OWN)), dtype=xp.float32)
    counted = min(DEPTH, depth)
    for number, (ranking, place) in enumerate(zip(rankings, places, strict=False)):
        near = _nearness(xp, ranking.scores[:, :counted])
        hit = (place >= 0) & (place < counted)
        seat = xp.where(hit, place, 0)
        features[:, :, 2 * number] = xp.where(hit, xp.take_along_axis(near, seat, 1), 0)
        features[:, :, 2 * number + 1] = xp.where(hit, xp.log((DEPTH + 1) / (seat + 1.0)), 0)
    features[:, :, 2 * len(rankings)] = -xp.log1p(tracks)
    entity = {"track": tracks, "artist": made.artists[tracks], "album": made.albums[tracks]}
    for column, name in enumerate(OWN, start=2 * len(rankings) + 1):
        done = users.done(context, name)
        features[:, :, column] = xp.log1p(_values(engine, done, entity[_KINDS[name]]))
    return Candidates(tracks, listed, features)


def _nearness(xp: Any, scores: Array) -> Array:
    """How near scores [n, k] are to the first of their list, 0 for the last."""
    span = scores[:, :1] - scores[:, -1:]
    return (scores - scores[:, -1:]) / xp.where(span > 0, span, 1)


def _places(xp: Any, listed: Array, wanted: Array, n_tracks: int) -> Array:
    """Place [n, m] of each wanted track [n, m] in a user's list [n, k]; -1 if it is not there."""
    n, k = listed.shape
    rows = xp.arange(n)[:, None] * n_tracks
    keys = (rows + listed).ravel()
    order = xp.argsort(keys)
    keys = keys[order]
    queries = rows + wanted
    found = xp.minimum(xp.searchsorted(keys, queries.ravel()), n * k - 1)
    places = xp.where(keys[found] == queries.ravel(), order[found] % k, -1)
    return places.reshape(wanted.shape)


def _values(engine: Engine, matrix: Csr, columns: Array) -> Array:
    """Values [n, m] of float32 of a matrix at columns [n, m] of its rows; -1 is no column."""
    xp, (n, m) = engine.xp, columns.shape
    if not matrix.nnz:
        return xp.zeros((n, m), dtype=xp.float32)
    row, column = entries(engine, matrix)
    keys = row.astype(xp.int64) * matrix.shape[1] + column
    queries = xp.repeat(xp.arange(n), m) * matrix.shape[1] + columns.ravel()
    found = xp.minimum(xp.searchsorted(keys, queries), matrix.nnz - 1)
    hit = (keys[found] == queries) & (columns.ravel() >= 0)
    return xp.where(hit, matrix.data[found], 0).astype(xp.float32).reshape(n, m)
