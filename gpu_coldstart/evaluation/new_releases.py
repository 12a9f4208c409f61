"""How new releases fare: tracks with history are held out and placed like tracks without one.

What is held out is the track's own place, and that as one which its siblings could be placed by.
Everything else was learned with its history: the places of other tracks, the network, and so
where users are predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.parameters import NewReleasesConfig
from gpu_coldstart.data.catalogue import entries, owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray
from gpu_coldstart.evaluation.calibration import cosines
from gpu_coldstart.spaces.new_releases import place
from gpu_coldstart.spaces.similarity import as_items, as_places
from gpu_coldstart.strategies.base import Retriever

__all__ = ["NO_SOURCE", "Audience", "new_releases"]

NO_SOURCE = "none"
"""What stands in the column ``source`` for tracks that no source had a place for."""

_PAIRS = 1024  # users' wanted tracks that are compared with all held-out tracks at once

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


class _Ranking(NamedTuple):
    """What a way to rank makes of held-out tracks.

    Attributes
    ----------
    found, among : HostArray [wanted]
        For each user and held-out track that they wanted: whether it is in the list, and the
        share of the other held-out tracks that come after it, equals counting half.
    listed : HostArray [tracks]
        Share of all places of all lists that the track takes.
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
    some artists made: so a track is met with siblings of every kind and without.

    Parameters
    ----------
    tracks : Array [tracks, d] of float32
        Their places in the space.
    """
    xp = engine.xp
    streamed = xp.bincount(logs.history.indices, minlength=logs.n_tracks) > 0
    old = engine.to_host(streamed & (tracks != 0).any(axis=1))
    random = np.random.default_rng(seed)
    best = Retriever(engine, tracks, audience.similarity).rank(
        audience.predicted, min(audience.k + _SPARE, logs.n_tracks)
    )
    for new, unit in _units(engine, logs).items():
        out = _held_out(random, np.where(old, unit, -1), options.held_out)
        if not len(out):
            continue
        trial = _Trial(engine, audience, out)
        placed, source = place(engine, logs, tracks, trial.mask, options.sources)
        # Nobody knows how popular a new track is: among equals it comes last, in any order.
        late = engine.asarray(random.permutation(out))
        rankings = {
            "placed": trial.by_space(trial.lists(best, placed, late), placed),
            "learned": trial.by_space(best[0][:, : audience.k], tracks),
            "popularity": trial.by_popularity(),
            "chance": trial.by_chance(),
        }
        cosine = cosines(*(engine.to_host(each[trial.out]) for each in (placed, tracks)))
        came_from = engine.to_host(source[trial.out])
        for code, name in (*enumerate(options.sources), (-1, NO_SOURCE)):
            here = came_from == code
            if here.any():
                head = {"new": new, "source": name, "tracks": int(here.sum()), "k": audience.k}
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
        self.out = engine.asarray(out)
        self._out = out
        self._n_tracks = audience.wanted.shape[1]
        self.mask = xp.zeros(self._n_tracks, dtype=bool)
        self.mask[self.out] = True
        users, sought = entries(engine, audience.wanted)
        asked = self.mask[sought]
        self._users, self._sought = users[asked], sought[asked]
        self._place = xp.searchsorted(self.out, self._sought)
        self._which = engine.to_host(self._place)

    def lists(self, best: tuple[Array, Array], placed: Array, late: Array) -> Array:
        """Users' lists where the held-out tracks have other places than they had.

        The others are where they were. So those of the best that remain are merged with the best
        of the held-out tracks, and only users of whom too few remain, or with whom rounded scores
        tie where the list ends, are ranked anew.

        Parameters
        ----------
        best : (Array [users, n] of int32, Array [users, n] of float32)
            Tracks and scores by the places that the tracks had; n >= k.
        placed : Array [tracks, d] of float32
        late : Array [m] of integers
            The held-out tracks; of equals, the first comes, and others before them.

        Returns
        -------
        Array [users, k] of integers
            Each held-out track of a list, somewhere in its row; elsewhere others or -1.
        """
        xp, users, k = self._engine.xp, self._audience.predicted, self._audience.k
        n = min(k, len(late))
        new, scores = self._ranked(users, placed, late, n)
        gone = self.mask[best[0]]
        rest = xp.argsort(gone, axis=1, kind="stable")[:, :k]
        # The held-out track at place j is listed if it beats the track at k - 1 - j of the rest.
        rivals = xp.take_along_axis(best[1], rest, 1)[:, ::-1][:, :n]
        lists = xp.full((len(users), k), -1)
        lists[:, :n] = xp.where(scores > rivals, new, -1)
        few = (~gone).sum(axis=1) < k
        unsure = xp.flatnonzero(few | (scores == rivals).any(axis=1))
        if len(unsure):
            order = xp.concatenate([xp.flatnonzero(~self.mask), late])
            lists[unsure] = self._ranked(users[unsure], placed, order, k)[0]
        return lists

    def _ranked(self, users: Array, tracks: Array, order: Array, k: int) -> tuple[Array, Array]:
        """The best tracks [users, k] by their places, and their scores; of equals, the first."""
        retriever = Retriever(self._engine, tracks[order], self._audience.similarity)
        items, scores = retriever.rank(users, k)
        return order[items], scores

    def by_space(self, lists: Array, tracks: Array) -> _Ranking:
        """By the places that tracks have [tracks, d], and :meth:`lists` by them."""
        xp, host = self._engine.xp, self._engine.to_host
        found = (lists[self._users] == self._sought[:, None]).any(axis=1)
        times = xp.bincount(lists[lists >= 0], minlength=self._n_tracks)
        return _Ranking(host(found), host(self._among(tracks)), host(times) / lists.size)

    def _among(self, tracks: Array) -> Array:
        """See :class:`_Ranking`, by the places of tracks [tracks, d]."""
        xp, similarity = self._engine.xp, self._audience.similarity
        places = as_places(xp, self._audience.predicted, similarity)
        items = as_items(xp, tracks[self.out], similarity)
        others = max(1, len(items) - 1)

        def after(some: slice) -> tuple[Array, ...]:
            scores = places[self._users[some]] @ items.T
            own = xp.take_along_axis(scores, self._place[some][:, None], 1)
            equal = (scores == own).sum(axis=1) - 1
            return (((scores < own).sum(axis=1) + equal / 2) / others,)

        return by_batches(xp, len(self._users), after, size=_PAIRS)[0]

    def by_popularity(self) -> _Ranking:
        """By the popularity that they came to, in which tracks are numbered."""
        k, last = self._audience.k, len(self._out) - 1
        listed = np.zeros(self._n_tracks)
        listed[:k] = 1 / k
        found = self._out[self._which] < k
        return _Ranking(found, (last - self._which) / max(1, last), listed)

    def by_chance(self) -> _Ranking:
        """What to expect of lists drawn by lot."""
        n, wanted = self._n_tracks, len(self._which)
        listed = np.full(n, 1 / n)
        return _Ranking(np.full(wanted, self._audience.k / n), np.full(wanted, 0.5), listed)

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
                "listed": float(ranking.listed[self._out[here]].sum()),
            }


def _mean(values: HostArray) -> float | None:
    return float(values.mean()) if len(values) else None
