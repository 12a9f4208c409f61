"""Scores of all tracks for users of whom a place and some streams are known."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_coldstart.batches import batches
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces.relations import RELATIONS, Pairs, apart

__all__ = ["Relations"]

_TRACKS = 1024  # scored at once
_CELLS = 1 << 22  # numbers that one batch of users holds


@dataclass(frozen=True)
class Relations:
    """What a space knows of users' relations to tracks, beside the places of both.

    Attributes
    ----------
    relation : str
        One of :data:`gpu_coldstart.spaces.relations.RELATIONS`.
    history : int
        Of a user with more tracks, so many count, the most streamed.
    keys : Array [d, N] of float32 or None
    memory : Array [N, d] of float32 or None
        Where the relation recalls anything.
    audience : Array [tracks, d] of float32 or None
        Mean place of each track's users, where the relation looks at them.
    """

    relation: str
    history: int
    keys: Array | None = None
    memory: Array | None = None
    audience: Array | None = None

    def scores(self, engine: Engine, tracks: Array, users: Array, streamed: Csr) -> Array:
        """``-|u + r - v|^2`` for every user and track; a track that is nowhere comes last.

        A user's scores do not depend on the others: how many tracks of theirs are looked at is
        rounded up to a power of two, and nothing else is shared.

        Parameters
        ----------
        tracks : Array [tracks, d] of float32
            Places; null rows are nowhere.
        users : Array [n, d] of float32
            Places.
        streamed : Csr [n, tracks]
            What is known of them, by number of streams.

        Returns
        -------
        Array [n, tracks] of float32
        """
        xp = engine.xp
        scores = xp.empty((len(users), len(tracks)), dtype=xp.float32)
        most = min(self.history, len(tracks))
        lengths = xp.minimum(xp.diff(streamed.indptr), most)
        longest = int(lengths.max()) if len(users) else -1
        slots = 1 if self.keys is None else self.keys.shape[1]
        fewer, size = -1, 1
        while fewer < longest:
            rows = xp.flatnonzero((lengths > fewer) & (lengths <= size))
            together = max(1, _CELLS // (_TRACKS * (size + 1) * slots))
            for some in batches(len(rows), together) if len(rows) else ():
                theirs = engine.row_top(engine.take_rows(streamed, rows[some]), size)
                scores[rows[some]] = self._scores(engine, tracks, users[rows[some]], *theirs)
            fewer, size = size, min(2 * size, most)
        nowhere = ~(tracks != 0).any(axis=1)
        least = xp.where(nowhere, xp.inf, scores).min(axis=1, keepdims=True)
        return xp.where(nowhere, least - 1, scores).astype(xp.float32)

    def _scores(
        self, engine: Engine, tracks: Array, users: Array, theirs: Array, streams: Array
    ) -> Array:
        """Scores [n, tracks] of users by as many tracks each [n, h], some of 0 streams."""
        xp, relation = engine.xp, RELATIONS[self.relation]
        scores = xp.empty((len(users), len(tracks)), dtype=xp.float32)
        history = tracks[theirs]
        there = (streams > 0) & (history != 0).any(axis=2)
        for some in batches(len(tracks), _TRACKS):
            others = theirs[:, None] != xp.arange(some.start, some.stop)[:, None]
            pairs = Pairs(
                users[:, None],
                tracks[None, some],
                history,
                (there[:, None] & others).astype(xp.float32),
                None if self.audience is None else self.audience[None, some],
                self.keys,
                self.memory,
            )
            scores[:, some] = -apart(pairs, relation.between(xp, pairs))
        return scores
