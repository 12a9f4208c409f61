"""Item-item: what followed, among warm users, upon the tracks of the user's own first day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gpu_coldstart.batches import batches, by_batches
from gpu_coldstart.config.components import ItemItemConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import tuned

__all__ = ["ItemItem"]

_TRACKS = 512  # first-day tracks whose counts of all later tracks are held at once
_USERS = 512  # users whose scores of all tracks are held at once


@dataclass(frozen=True)
class Following:
    """What warm users streamed after a first day with a given track.

    Attributes
    ----------
    counts : Csr [tracks, tracks]
        Warm users who streamed the row's track on registration day and the column's later; of each
        row those that say most.
    starts : Array [tracks] of float32
        Warm users who streamed a track on registration day.
    chart : Array [tracks] of float32
        Share of the warm users who streamed a track on any day that counts.
    shrinkage : float
        Users that a track behaves as if it had besides, who stream as the chart does.
    curve : tuple of float
        NDCG of the validation users for each shrinkage tried.
    """

    counts: Csr
    starts: Array
    chart: Array
    shrinkage: float
    curve: tuple[float, ...] = ()


class ItemItem(Strategy):
    """Tracks by their popularity times their mean lift by the user's first-day tracks.

    A user who streamed the tracks D on registration day has ``score(j) = p_j / |D| sum_i lift_ij``
    for the share p of the warm users who streamed j, and ``lift_ij = (n_ij + s p_j) / ((n_i + s)
    p_j)``: n_i warm users streamed i on their own registration day, n_ij of these streamed j on a
    later day, and s is the best of ``strategies.item_item_shrinkages`` on the validation users, so
    that the lift of a track about which little is known is near 1. Users without a stream get the
    chart. Of each i the ``strategies.item_item_kept`` counts of the largest ``n_ij^2 / p_j``, the
    lift times the users who show it, are kept, and others taken for 0.
    """

    name = "item-item"
    label = "Item-Item"
    uses_prediction = False
    State = Following

    Parameters = ItemItemConfig

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Following:
        """Count once, try every shrinkage and keep the best on the validation users."""
        engine, xp, logs = context.engine, context.engine.xp, past.logs
        first, later = _days(engine, logs)
        following = Following(
            _counts(engine, first, later, logs.popularity, min(parameters.kept, logs.n_tracks)),
            xp.diff(first.indptr).astype(xp.float32),
            (logs.popularity / logs.n_warm).astype(xp.float32),
            0.0,
        )
        trials = {
            f"shrinkage {each}": partial(replace, following, shrinkage=each)
            for each in parameters.shrinkages
        }
        return tuned(partial(cls, context, parameters), trials, past, progress)

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        engine = self.context.engine
        ranking = self.context.most_popular(len(users), k)
        streamed = users.streamed(self.context)
        started = engine.xp.flatnonzero(engine.xp.diff(streamed.indptr))
        mine = engine.take_rows(streamed, started)

        def top(some: slice) -> tuple[Array, Array]:
            numbers = engine.xp.arange(some.start, some.stop)
            return self._top(engine.take_rows(mine, numbers), k)

        ranking.tracks[started], ranking.scores[started] = by_batches(
            engine.xp, len(started), top, size=_USERS
        )
        return ranking

    def _top(self, streamed: Csr, k: int) -> tuple[Array, Array]:
        """Best tracks of users by what they streamed [n, tracks], something each.

        Scores are ``sum_i w_i n_ij + p_j sum_i w_i s`` with ``w_i = 1 / (n_i + s) / |D|``. Since
        the first term is never negative, nothing but the first k of the chart can be among the
        best without it, and the second is added there and where the first is.
        """
        engine, xp, state = self.context.engine, self.context.engine.xp, self.state
        n, once = streamed.shape[0], xp.ones(streamed.nnz, dtype=xp.float32)
        users, tracks = entries(engine, streamed)
        shrunk = state.shrinkage / (state.starts[:, None] + state.shrinkage)
        shrunk = engine.pool(streamed.with_data(once), shrunk.astype(xp.float32))[:, 0]
        sizes = xp.diff(streamed.indptr)[users]
        weights = 1 / ((state.starts[tracks] + state.shrinkage) * sizes)
        mixing = streamed.with_data(weights.astype(xp.float32))
        followed = engine.product(mixing, state.counts)
        rows, columns = entries(engine, followed)
        rarer = columns >= k
        everyone = xp.repeat(xp.arange(n, dtype=xp.int32), k)
        charted = xp.tile(xp.arange(k, dtype=xp.int32), n)
        scored = [
            (rows, columns, followed.data),
            (rows[rarer], columns[rarer], shrunk[rows[rarer]] * state.chart[columns[rarer]]),
            (everyone, charted, shrunk[everyone] * state.chart[charted]),
        ]
        return engine.row_top(_summed(engine, scored, followed.shape), k)


def _days(engine: Engine, logs: Logs) -> tuple[Csr, Csr]:
    """Of the warm users' streams, registration day [tracks, users] and later [users, tracks].

    Values are 1. A track is streamed later if more of its streams count than those of the day.
    """
    xp, n_warm = engine.xp, logs.n_warm
    first = logs.registrations.streamed(engine, xp.arange(n_warm), logs.n_tracks)
    days = [(*entries(engine, logs.plays), logs.plays.data)]
    days.append((*entries(engine, first), -first.data))
    rest = _summed(engine, days, logs.plays.shape)
    users, tracks = entries(engine, rest)
    users, tracks = users[rest.data > 0], tracks[rest.data > 0]
    later = engine.csr(users, tracks, xp.ones(len(users), dtype=xp.float32), rest.shape)
    ones = xp.ones(first.nnz, dtype=xp.float32)
    return engine.transpose(first.with_data(ones)), later


def _counts(engine: Engine, first: Csr, later: Csr, popularity: Array, kept: int) -> Csr:
    """The ``kept`` counts that say most in each row of ``first later`` [tracks, tracks].

    Made by parts, since all of it may be nearly dense. They are ranked, equals by the tie rule, by
    the root of what is said to rank them, from which a count follows again by rounding.
    """
    xp, n = engine.xp, first.shape[0]
    root = xp.sqrt(xp.maximum(popularity, 1).astype(xp.float32))
    parts = []
    for some in batches(n, _TRACKS):
        rows = engine.take_rows(first, xp.arange(some.start, some.stop))
        counts = engine.product(rows, later)
        columns, values = engine.row_top(counts.with_data(counts.data / root[counts.indices]), kept)
        place, rank = (values > 0).nonzero()
        column = columns[place, rank]
        parts.append((place + some.start, column, xp.rint(values[place, rank] * root[column])))
    return _summed(engine, parts, (n, n))


def _summed(engine: Engine, parts: list[tuple[Array, Array, Array]], shape: tuple[int, int]) -> Csr:
    """One sparse matrix of several sets of rows, columns and values."""
    rows, columns, values = (engine.xp.concatenate(each) for each in zip(*parts, strict=True))
    return engine.csr(rows, columns, values, shape)
