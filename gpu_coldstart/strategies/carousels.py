"""Carousels: a few ranked playlists for every test user (4.2.1).

The embedding of a playlist is the mean of its tracks', as in the input vector. Playlists are ranked
by their similarity to a place in the space, and three ways to find that place for a user compete:

``default``
    The mean of the warm users of the same country; of all warm users where the country is unknown
    or has none. It stands for the paper's *Deezer Default*, "estimating cold user embeddings by
    countries and from internal heuristics"; the heuristics are not public, so there are none.
``semi``
    The centroid of the segment nearest to the prediction. What is known of the segment explains the
    carousel (4.2.3).
``full``
    The prediction itself.

Playlists have no popularity of their own, so the tie rule here is: higher score, then smaller id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_coldstart.config.parameters import Carousels as Options
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Engine, HostArray
from gpu_coldstart.segments import describe
from gpu_coldstart.spaces import Space, unit_rows
from gpu_coldstart.strategies.base import Situation

__all__ = [
    "ARMS",
    "Carousel",
    "carousels",
    "columns",
    "country_means",
    "explanation",
    "length",
    "notes",
    "offered",
]

ARMS = ("default", "semi", "full")
"""The ways to place a user; the first is what the others are compared with."""

_BATCH = 8192
"""Users ranked at once, which bounds memory whatever their number."""


@dataclass(frozen=True)
class Carousel:
    """The ranked playlists of some users, best first.

    Attributes
    ----------
    playlists : Array [users, L] of int32
        Places in :attr:`gpu_coldstart.data.logs.Logs.playlist_ids`, distinct within a row.
    scores : Array [users, L] of float32
        Cosine or inner product, as configured (``strategies.similarity``).
    segments : Array [users] of int32, or None
        The segment whose centroid was taken, in the arm ``semi``.
    """

    playlists: Array
    scores: Array
    segments: Array | None = None


def offered(sizes: Array, options: Options) -> Array:
    """Which playlists may be shown [playlists] of bool, by their distinct known tracks."""
    return sizes >= options.least_tracks


def length(sizes: Array, options: Options) -> int:
    """Playlists in a carousel: as set, or all that may be shown where those are fewer.

    Parameters
    ----------
    sizes : Array [playlists] of integers
        Distinct known tracks of each.

    Examples
    --------
    >>> import numpy as np
    >>> length(np.array([3, 30, 20]), Options(playlists=12, least_tracks=10))
    2
    """
    return min(options.playlists, int(offered(sizes, options).sum()))


def _sizes(engine: Engine, logs: Logs) -> Array:
    """Distinct known tracks of each playlist [playlists]."""
    return engine.xp.diff(logs.members.indptr)[logs.playlists]


def notes(engine: Engine, logs: Logs, options: Options) -> list[str]:
    """What the reader of the results should know of carousels and their replay."""
    sizes = _sizes(engine, logs)
    found, wanted = length(sizes, options), options.playlists
    if not wanted:
        return []
    if not len(sizes):
        return ["there are no playlists, so no carousels were made"]
    told = []
    if found < wanted:
        short = f"carousels show {found} instead of {wanted}" if found else "no carousels were made"
        shown = int(offered(sizes, options).sum())
        told.append(
            f"{shown} of {len(sizes)} playlists have {options.least_tracks} tracks or more "
            f"(carousels.least_tracks), so {short}"
        )
    liked = logs.truth_favorites.indptr
    if found and int(liked[-1]) == int(liked[logs.n_validation]):
        told.append(
            "no test user made a track or a playlist a favourite after registration day, so the "
            "replay's display-to-favourite rates say nothing"
        )
    return told


def country_means(engine: Engine, logs: Logs, space: Space) -> tuple[Array, Array]:
    """Mean embedding of each country's warm users, and which of the means is each user's.

    Returns
    -------
    means : Array [n + 1, d] of float32
        Of the n countries that have warm users, and last that of all warm users.
    place : Array [users] of int32
        Row of ``means``: the user's country, or the last where that is unknown or has no warm user.
    """
    xp = engine.xp
    countries = logs.country.astype(xp.int64)
    warm = countries[: logs.n_warm]
    inhabited = xp.unique(warm[warm >= 0])
    n = len(inhabited)
    found = engine.lookup(countries, inhabited)
    place = xp.where(found < 0, n, found).astype(xp.int32)
    known = found[: logs.n_warm] >= 0
    every = xp.arange(logs.n_warm, dtype=xp.int32)
    rows = xp.concatenate([place[: logs.n_warm][known], xp.full(logs.n_warm, n, dtype=xp.int32)])
    members = engine.csr(
        rows,
        xp.concatenate([every[known], every]),
        xp.ones(len(rows), dtype=xp.float32),
        (n + 1, logs.n_warm),
    )
    return engine.pool(members, space.users), place


def carousels(situation: Situation, users: Array) -> dict[str, Carousel]:
    """The carousel of each arm for each of some cold users.

    Parameters
    ----------
    situation : Situation
    users : Array [n] of integers
        Cold users, by number.

    Returns
    -------
    dict of arm to Carousel
        In the order of :data:`ARMS`; empty where there is no playlist to show.
    """
    engine, logs, space = situation.engine, situation.logs, situation.space
    if not length(_sizes(engine, logs), situation.config.carousels):
        return {}
    shelf = _Shelf(situation)
    means, country = country_means(engine, logs, space)
    centroids = situation.segments.centroids
    predicted = situation.predicted(users)
    segment = engine.nearest(predicted, centroids, 1)[0][:, 0]
    return {
        "default": shelf.take(shelf.rank(means), country[users]),
        # Members of a segment see the same, so each centroid is ranked once.
        "semi": shelf.take(shelf.rank(centroids), segment, segments=segment),
        "full": shelf.rank(predicted),
    }


class _Shelf:
    """The playlists that may be shown, as points of a space, and how they are ranked."""

    def __init__(self, situation: Situation):
        engine, logs = situation.engine, situation.logs
        options = situation.config.carousels
        sizes = _sizes(engine, logs)
        self._engine = engine
        self._shown = offered(sizes, options).nonzero()[0]
        self._length = length(sizes, options)
        self._cosine = situation.config.strategies.similarity == "cosine"
        points = engine.pool(
            logs.members, situation.space.tracks, rows=self._shown + logs.playlists.start
        )
        self._points = unit_rows(points) if self._cosine else points

    def rank(self, queries: Array) -> Carousel:
        """The playlists nearest to each query [n, d]."""
        xp = self._engine.xp
        if self._cosine:
            queries = unit_rows(queries)
        parts = [
            self._engine.top_k(queries[start : start + _BATCH], self._points, self._length)
            for start in range(0, len(queries), _BATCH)
        ]
        places = xp.concatenate([part[0] for part in parts])
        scores = xp.concatenate([part[1] for part in parts])
        return Carousel(self._shown[places].astype(xp.int32), scores)

    @staticmethod
    def take(ranked: Carousel, rows: Array, segments: Array | None = None) -> Carousel:
        """The carousels of some rows of ``ranked``, which may repeat."""
        return Carousel(ranked.playlists[rows], ranked.scores[rows], segments)


# -- as tables -------------------------------------------------------------------------------------


def explanation(country: str | None, age_class: str | None, genres: Sequence[str]) -> str:
    """Why a segment's carousel is shown, in words: what is known of its members (Table 2).

    Examples
    --------
    >>> explanation("FR", "18-24", ["rap", "pop"])
    'like listeners from FR, aged 18-24, of rap, pop'
    >>> explanation(None, None, ["jazz"])
    'like listeners of jazz'
    >>> explanation(None, None, [])
    'like a segment of listeners of whom nothing is known'
    """
    from_country = [f"from {country}"] if country is not None else []
    aged = [f"aged {age_class}"] if age_class is not None else []
    of_genres = [f"of {', '.join(genres)}"] if genres else []
    parts = [*from_country, *aged, *of_genres]
    if not parts:
        return "like a segment of listeners of whom nothing is known"
    return f"like listeners {', '.join(parts)}"


def columns(situation: Situation, users: Array, carousel: Carousel) -> dict[str, Any]:
    """A carousel as table columns, a row for each user and playlist, in the order of ``users``.

    Columns ``user_id``, ``rank`` (from 1), ``playlist_id`` and ``score``; in the arm ``semi`` also
    ``segment`` and ``explanation``.
    """
    host = situation.engine.to_host
    n, k = carousel.playlists.shape
    found: dict[str, Any] = {
        "user_id": np.repeat(host(situation.logs.user_ids[users]), k),
        "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n),
        "playlist_id": host(situation.logs.playlist_ids[carousel.playlists]).ravel(),
        "score": host(carousel.scores).ravel(),
    }
    if carousel.segments is not None:
        segments = host(carousel.segments)
        told = _explanations(
            describe(situation.engine, situation.logs, situation.segments, situation.config)
        )
        found["segment"] = np.repeat(segments, k)
        found["explanation"] = [told[segment] for segment in segments for _ in range(k)]
    return found


def _explanations(described: Mapping[str, HostArray | Sequence[Any]]) -> list[str]:
    """The explanation of each segment, from the columns of its description."""
    known = (described[name] for name in ("country", "age_class", "genres"))
    return [explanation(*parts) for parts in zip(*known, strict=True)]
