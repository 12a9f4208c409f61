"""How new releases fare: tracks with history are held out and placed like tracks without one.

What is held out is the track's own place, and that as one which its siblings could be placed by.
Everything else was learned with its history: the places of other tracks, the network, and so
where users are predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.parameters import NewReleasesConfig
from gpu_coldstart.data.catalogue import entries, owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.evaluation.calibration import cosines
from gpu_coldstart.spaces.new_releases import place
from gpu_coldstart.spaces.similarity import Retriever, as_items, as_places

__all__ = ["NO_SOURCE", "Audience", "new_releases"]

NO_SOURCE = "none"
"""What stands in the column ``source`` for tracks that no source had a place for."""

_USERS = 1024  # users who are compared with all held-out tracks at once

_SPARE = 32
"""Tracks known below the end of each list, which move up as held-out tracks leave it."""


@dataclass(frozen=True)
class Audience:
    """The test users, whose lists are looked at.

    Attributes
    ----------
    predicted : Array [users, d] of float32
        Where the network puts them.
    wanted : Csr [users, tracks]
        What they went on to stream.
    similarity : {"cosine", "inner", "distance"}
    k : int
        Length of their lists.
    """

    predicted: Array
    wanted: Csr
    similarity: str
    k: int

    def some(self, engine: Engine, rows: HostArray) -> Audience:
        """Some of the users, by their numbers."""
        here = engine.asarray(rows)
        return replace(
            self, predicted=self.predicted[here], wanted=engine.take_rows(self.wanted, here)
        )


class _Ranking(NamedTuple):
    """What a way to rank makes of held-out tracks.

    Attributes
    ----------
    found, among : HostArray [wanted]
        For each user and held-out track that they wanted: whether it is in the list, and the
        share of the other held-out tracks that come after it, equals counting half.
    listed : HostArray [m]
        Share of all places of all lists that each held-out track takes.
    """

    found: HostArray
    among: HostArray
    listed: HostArray


def new_releases(
    engine: Engine,
    logs: Logs,
    tracks: Array,
    audience: Audience,
    options: NewReleasesConfig,
    *,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``new-releases``, but for the space.

    Held out is first a sample of single tracks, then one of whole albums, then one of all that
    some artists made: so a track is met with siblings of every kind and without. A sample of
    ``options.users`` stands for more test users.

    Parameters
    ----------
    tracks : Array [tracks, d] of float32
        Their places in the space.
    """
    xp = engine.xp
    streamed = xp.bincount(logs.history.indices, minlength=logs.n_tracks) > 0
    old = engine.to_host(streamed & (tracks != 0).any(axis=1))
    random = np.random.default_rng(seed)
    if 0 < options.users < len(audience.predicted):
        drawn = random.permutation(len(audience.predicted))[: options.users]
        audience = audience.some(engine, np.sort(drawn))
    best = Retriever(engine, tracks, audience.similarity).rank(
        audience.predicted, min(audience.k + _SPARE, logs.n_tracks)
    )
    everybody = xp.arange(len(audience.predicted))
    for new, unit in _units(engine, logs).items():
        out = _held_out(random, np.where(old, unit, -1), options.held_out)
        if not len(out):
            continue
        trial = _Trial(engine, audience, out)
        placed, source = place(engine, logs, tracks, trial.mask, options)
        # Nobody knows how popular a new track is: among equals it comes last, in any order.
        late = engine.asarray(random.permutation(out))
        rankings = {
            "placed": trial.by_space(trial.lists(best, placed, late), placed),
            "learned": trial.by_space(trial.listed(everybody, best[0][:, : audience.k]), tracks),
            "popularity": trial.by_popularity(),
            "chance": trial.by_chance(),
        }
        cosine = cosines(*(engine.to_host(each[trial.out]) for each in (placed, tracks)))
        came_from = engine.to_host(source[trial.out])
        for code, name in (*enumerate(options.sources), (-1, NO_SOURCE)):
            here = came_from == code
            if here.any():
                head = {"new": new, "source": name, "tracks": int(here.sum())}
                head |= {"users": len(audience.predicted), "k": audience.k}
                for row in trial.rows(rankings, here, float(cosine[here].mean())):
                    yield head | row


def _units(engine: Engine, logs: Logs) -> dict[str, HostArray]:
    """What is new at once, each as the number of its unit [tracks]; -1 where there is none."""
    return {"track": np.arange(logs.n_tracks)} | {
        kind: engine.to_host(owners(engine, logs.members, rows.start, rows.stop))
        for kind, rows in (("album", logs.albums), ("artist", logs.artists))
    }


def _held_out(random: np.random.Generator, unit: HostArray, share: float) -> HostArray:
    """Tracks of a random share of the units, ascending."""
    units = np.unique(unit[unit >= 0])
    chosen = random.permutation(units)[: math.ceil(share * len(units))]
    return np.flatnonzero(np.isin(unit, chosen))


class _Places:
    """Held-out tracks by where they are; those that are placed alike are looked at once.

    Parameters
    ----------
    engine : Engine
    users : Array [users, d] of float32
    items : Array [m, d] of float32
        Of items at one place, the first comes.
    """

    def __init__(self, engine: Engine, users: Array, items: Array):
        xp = engine.xp
        self._xp, self._users = xp, users
        # A number by which those at one place come together; what it mixes up stays apart.
        number = (items * xp.cos(xp.arange(items.shape[1], dtype=xp.float64))).sum(axis=1)
        order = xp.argsort(number, kind="stable")
        ordered = items[order]
        new = xp.ones(len(items), dtype=bool)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        first = xp.flatnonzero(new)
        self._kind, self._turn = xp.empty_like(order), xp.empty(len(items), dtype=xp.int32)
        self._kind[order] = xp.cumsum(new) - 1
        self._turn[order] = xp.arange(len(items)) - first[self._kind[order]]
        self._items, self._sizes = ordered[first], xp.bincount(self._kind)
        self._reach = (users * users).sum(axis=1) ** 0.5 * engine.longest(self._items)

    def scores(self, some: slice) -> Array:
        """Inner products of some users and all items [n, m] of float32, roughly."""
        scores: Array = self._xp.take(self._users[some] @ self._items.T, self._kind, axis=1)
        return scores

    def among(self, some: slice, rivals: Array) -> Array:
        """Whether items are among the best k with rivals [n, k], best first; [n, m] of bool.

        An item needs a better score than a rival, to the engine's last bit; ``inf`` has none.
        """
        xp, users = self._xp, self._users[some]
        slack = xp.finfo(xp.float32).eps * users.shape[1] * self._reach[some]
        user, kind = xp.nonzero(users @ self._items.T > (rivals[:, -1] - slack)[:, None])

        def exact(pairs: slice) -> tuple[Array, ...]:
            terms = users[user[pairs]].astype(xp.float64) * self._items[kind[pairs]]
            # A running sum, as engines add, for the same bits.
            scores = xp.cumsum(terms, axis=1)[:, -1].astype(xp.float32)
            return scores, (rivals[user[pairs]] < scores[:, None]).sum(axis=1)

        scores, beaten = by_batches(xp, len(user), exact)
        order = xp.lexsort(xp.stack([-scores, user]))
        user, kind, beaten = user[order], kind[order], beaten[order]
        sizes = self._sizes[kind]
        before = xp.cumsum(sizes) - sizes
        before -= before[xp.searchsorted(user, user)]
        # The item at place j is among them if it beats more than j rivals.
        taken = xp.zeros((len(users), len(self._items)), dtype=xp.int32)
        taken[user, kind] = xp.clip(beaten - before, 0, sizes)
        among: Array = xp.take(taken, self._kind, axis=1) > self._turn
        return among


def _count(xp: Any, ascending: Array, rows: Array, below: Callable[[Array], Array]) -> Array:
    """How many values of some rows of ``ascending`` are below what is asked, by halving."""
    m = ascending.shape[1]
    count, step = xp.zeros_like(rows), 1 << m.bit_length()
    while step := step >> 1:
        last = count + (step - 1)
        count += step * ((last < m) & below(ascending[rows, xp.minimum(last, m - 1)]))
    return count


class _Trial:
    """Some held-out tracks, and who wanted them.

    Parameters
    ----------
    out : HostArray [m] of integers
        The held-out tracks, ascending.
    """

    def __init__(self, engine: Engine, audience: Audience, out: HostArray):
        xp = engine.xp
        self._engine, self._audience = engine, audience
        self._rows = as_places(xp, audience.predicted, audience.similarity)
        self.out = engine.asarray(out)
        self._out = out
        self._n_tracks = audience.wanted.shape[1]
        self.mask = xp.zeros(self._n_tracks, dtype=bool)
        self.mask[self.out] = True
        users, sought = entries(engine, audience.wanted)
        asked = self.mask[sought]
        self._users = users[asked].astype(xp.int64)
        self._place = self._places(sought[asked])
        self._which = engine.to_host(self._place)

    def _places(self, tracks: Array) -> Array:
        """Where held-out tracks are among all of them."""
        return self._engine.xp.searchsorted(self.out, tracks)

    def listed(self, users: Array, lists: Array) -> Array:
        """Held-out tracks in the lists [n, k] of tracks of some users [n]; see :meth:`lists`."""
        row, column = self._engine.xp.nonzero(self.mask[lists])
        return users[row] * len(self._out) + self._places(lists[row, column])

    def lists(self, best: tuple[Array, Array], placed: Array, late: Array) -> Array:
        """The held-out tracks in users' lists where these have other places than they had.

        The others are where they were. So those of the best that remain are merged with the
        held-out tracks that beat the last of them, and only users of whom too few remain are
        ranked anew.

        Parameters
        ----------
        best : (Array [users, n] of int32, Array [users, n] of float32)
            Tracks and scores by the places that the tracks had; n >= k.
        placed : Array [tracks, d] of float32
        late : Array [m] of integers
            The held-out tracks; of equals, the first comes, and others before them.

        Returns
        -------
        Array [n] of int64
            ``user * m + place among the held-out tracks`` of each that is in a list.
        """
        xp, users, k = self._engine.xp, self._audience.predicted, self._audience.k
        gone = self.mask[best[0]]
        rest = xp.argsort(gone, axis=1, kind="stable")[:, :k]
        rivals = xp.take_along_axis(best[1], rest, axis=1)
        few = (~gone).sum(axis=1) < k
        rivals[few] = xp.inf
        held_out = _Places(self._engine, self._rows, self._items(placed)[late])
        order = self._places(late)

        def merged(some: slice) -> tuple[Array, ...]:
            user, number = xp.nonzero(held_out.among(some, rivals[some]))
            return ((user + some.start) * len(late) + order[number],)

        (found,) = self._engine.by_batches(len(users), merged, size=_USERS)
        anew = xp.flatnonzero(few)
        if len(anew):
            tracks = xp.concatenate([xp.flatnonzero(~self.mask), late])
            retriever = Retriever(self._engine, placed[tracks], self._audience.similarity)
            items = retriever.rank(users[anew], k)[0]
            found = xp.concatenate([found, self.listed(anew, tracks[items])])
        return found

    def _items(self, tracks: Array) -> Array:
        """All tracks [tracks, d] as the inner product tells how similar they are."""
        return as_items(self._engine.xp, tracks, self._audience.similarity)

    def by_space(self, lists: Array, tracks: Array) -> _Ranking:
        """By the places that tracks have [tracks, d], and :meth:`lists` by them."""
        xp, host, m = self._engine.xp, self._engine.to_host, len(self._out)
        found = xp.isin(self._users * m + self._place, lists)
        times = xp.bincount(lists % m, minlength=m)
        places = len(self._audience.predicted) * self._audience.k
        return _Ranking(host(found), host(self._among(tracks)), host(times) / places)

    def _among(self, tracks: Array) -> Array:
        """See :class:`_Ranking`, by the places of tracks [tracks, d]."""
        xp, m = self._engine.xp, len(self._out)
        held_out = _Places(self._engine, self._rows, self._items(tracks)[self.out])
        n_users = len(self._audience.predicted)
        ends = xp.searchsorted(self._users, xp.arange(n_users + 1))

        def after(some: slice) -> tuple[Array, ...]:
            pairs = slice(int(ends[some.start]), int(ends[some.stop]))
            user = self._users[pairs] - some.start
            scores = held_out.scores(some)
            own = scores[user, self._place[pairs]]
            scores.sort(axis=1)
            less = _count(xp, scores, user, lambda each: each < own)
            others = _count(xp, scores, user, lambda each: each <= own) - 1
            return ((less + others) / 2 / max(1, m - 1),)

        return self._engine.by_batches(n_users, after, size=_USERS)[0]

    def by_popularity(self) -> _Ranking:
        """By the popularity that they came to, in which tracks are numbered."""
        k, last = self._audience.k, len(self._out) - 1
        listed = self._out < k
        among = (last - self._which) / max(1, last)
        return _Ranking(listed[self._which], among, listed / k)

    def by_chance(self) -> _Ranking:
        """What to expect of lists drawn by lot."""
        n, wanted = self._n_tracks, len(self._which)
        found, listed = np.full(wanted, self._audience.k / n), np.full(len(self._out), 1 / n)
        return _Ranking(found, np.full(wanted, 0.5), listed)

    def rows(
        self, rankings: dict[str, _Ranking], here: HostArray, cosine: float
    ) -> Iterator[dict[str, Any]]:
        """What each way to rank makes of some of the tracks [m] of bool."""
        wanted = here[self._which]
        for by, ranking in rankings.items():
            yield {
                "ranked_by": by,
                "wanted": int(wanted.sum()),
                "cosine": cosine if by == "placed" else None,
                "recall": _mean(ranking.found[wanted]),
                "among": _mean(ranking.among[wanted]) if len(self._out) > 1 else None,
                "listed": float(ranking.listed[here].sum()),
            }


def _mean(values: HostArray) -> float | None:
    return float(values.mean()) if len(values) else None
