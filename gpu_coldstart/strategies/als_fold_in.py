"""ALS fold-in: the user's own first streams, folded into the factors of the tracks."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.batches import batches
from gpu_coldstart.config.components import AlsFoldInConfig
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Ranking, Strategy, Users

__all__ = ["AlsFoldIn"]

_LEAST = 8  # streams; users with as many up to a power of two are solved together
_CELLS = 1 << 22  # numbers that one batch holds


class AlsFoldIn(Strategy):
    """Tracks by their inner product with the factors that the user's streams would have had.

    The factors x of a user minimise ``sum_i c_i (p_i - x.y_i)^2 + l |x|^2`` over all tracks i, with
    ``p = 1`` and ``c = 1 + confidence * log(1 + n)`` for a track streamed n times on registration
    day, and ``p = 0, c = 1`` elsewhere (Hu, Koren & Volinsky 2008): one half step of ALS, solved
    exactly. This is how libraries of ALS recommend to a user they have not seen. Meant for UT-ALS;
    the embeddings of another space are taken for factors as they are. Users without a stream get
    the chart.
    """

    name = "als-fold-in"
    label = "ALS Fold-in"
    uses_prediction = False

    Parameters = AlsFoldInConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        xp, tracks = context.engine.xp, context.tracks
        gram = (tracks.T @ tracks).astype(xp.float64)
        gram += self.parameters.regularization * xp.eye(len(gram))
        self._inverse = xp.linalg.solve(gram, xp.eye(len(gram)))
        self._retriever = Retriever(context.engine, tracks, "inner")

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        context = self.context
        ranking = context.most_popular(len(users), k)
        factors = self._factors(users.streamed(context))
        placed = context.engine.xp.flatnonzero((factors != 0).any(axis=1))
        ranking.tracks[placed], ranking.scores[placed] = self._retriever.rank(factors[placed], k)
        return ranking

    def _factors(self, streamed: Csr) -> Array:
        """Factors [n, d] of users by what they streamed [n, tracks].

        A user is solved in a system whose size depends on nobody else, and in double precision, as
        libraries multiply stacks of other heights by other kernels: so the bits depend on nobody.
        """
        xp = self.context.engine.xp
        lengths = xp.diff(streamed.indptr)
        d = len(self._inverse)
        factors = xp.zeros((len(lengths), d), dtype=xp.float32)
        most = int(lengths.max()) if len(lengths) else 0
        fewer, size = 0, _LEAST
        while fewer < most:
            users = xp.flatnonzero((lengths > fewer) & (lengths <= size))
            for some in batches(len(users), max(1, _CELLS // (size * (size + 2 * d)))):
                factors[users[some]] = self._solved(streamed, users[some], size)
            fewer, size = size, 2 * size
        return factors

    def _solved(self, streamed: Csr, users: Array, size: int) -> Array:
        """Factors [n, d] of users with at most ``size`` tracks.

        With Y the factors of a user's m tracks, D what their confidence exceeds 1 by, and G the
        Gram matrix of all tracks plus l, ``(G + Y'DY)^-1 Y'(1 + D)1`` is a system of m by m:
        ``G^-1 Y' (I + D Y G^-1 Y')^-1 (1 + D) 1``. Rows beyond m solve themselves.
        """
        xp = self.context.engine.xp
        first, stop = streamed.indptr[users, None], streamed.indptr[users + 1, None]
        entries = first + xp.arange(size)
        there = entries < stop
        entries = xp.where(there, entries, 0)
        tracks = self.context.tracks[streamed.indices[entries]].astype(xp.float64)
        tracks *= there[:, :, None]
        counts = streamed.data[entries].astype(xp.float64)
        extra = self.parameters.confidence * xp.log1p(counts) * there
        placed = tracks @ self._inverse
        system = extra[:, :, None] * (tracks @ placed.transpose(0, 2, 1)) + xp.eye(size)
        weights = xp.linalg.solve(system, (1 + extra)[:, :, None])
        return (placed * weights).sum(axis=1).astype(xp.float32)
