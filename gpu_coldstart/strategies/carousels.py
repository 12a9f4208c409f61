"""Carousels: a few ranked playlists for users (4.2.1).

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

from gpu_coldstart.config.parameters import CarouselsConfig
from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.titles import Titles
from gpu_coldstart.engine.base import Array, Engine, HostArray
from gpu_coldstart.spaces import Space
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Users

__all__ = [
    "ARMS",
    "Carousel",
    "Offer",
    "carousels",
    "columns",
    "explanation",
    "explanations",
    "length",
    "notes",
    "offered",
]

ARMS = ("default", "semi", "full")
"""The ways to place a user; the first is what the others are compared with."""


@dataclass(frozen=True)
class Carousel:
    """The ranked playlists of some users, best first.

    Attributes
    ----------
    playlists : Array [users, L] of int32
        Places in :attr:`gpu_coldstart.data.logs.Logs.playlist_ids`, distinct within a row.
    scores : Array [users, L] of float32
        Cosine or inner product, as configured (``strategies.similarity``), or what the space has.
    segments : Array [users] of int32, or None
        The segment whose centroid was taken, in the arm ``semi``.
    """

    playlists: Array
    scores: Array
    segments: Array | None = None


def offered(sizes: Array, options: CarouselsConfig) -> Array:
    """Which playlists may be shown [playlists] of bool, by their distinct known tracks."""
    return sizes >= options.least_tracks


def length(sizes: Array, options: CarouselsConfig) -> int:
    """Playlists in a carousel: as configured, or all that may be shown if fewer.

    Parameters
    ----------
    sizes : Array [playlists] of integers
        Distinct known tracks of each.

    Examples
    --------
    >>> import numpy as np
    >>> length(np.array([3, 30, 20]), CarouselsConfig(playlists=12, least_tracks=10))
    2
    """
    return min(options.playlists, int(offered(sizes, options).sum()))


def _sizes(engine: Engine, logs: Logs) -> Array:
    """Distinct known tracks of each playlist [playlists]."""
    return engine.xp.diff(logs.members.indptr)[logs.playlists]


def notes(engine: Engine, logs: Logs, options: CarouselsConfig) -> list[str]:
    """What the reader of the results should know about carousels."""
    if not options.playlists:
        return []
    sizes = _sizes(engine, logs)
    if not len(sizes):
        return ["there are no playlists, so no carousels were made"]
    shown = length(sizes, options)
    if shown == options.playlists:
        return []
    short = f"carousels show {shown} instead of {options.playlists}"
    return [
        f"{int(offered(sizes, options).sum())} of {len(sizes)} playlists have "
        f"{options.least_tracks} tracks or more (carousels.least_tracks), so "
        f"{short if shown else 'no carousels were made'}"
    ]


@dataclass(frozen=True)
class Offer:
    """The playlists that may be shown in one space, and where a country's users are.

    Attributes
    ----------
    playlists : Array [playlists] of int32
        Places in :attr:`gpu_coldstart.data.logs.Logs.playlist_ids`.
    points : Array [playlists, d] of float32
        Their embeddings.
    means : Array [n + 1, d] of float32
        Mean embedding of the warm users of each of the n countries that have some, and last that
        of all warm users.
    country : Array [countries + 1] of int32
        Row of ``means`` for each country, the last where it has no warm user; and last, where -1
        finds it, the row of users whose country is unknown.
    length : int
        Playlists in a carousel; 0 makes none.
    """

    playlists: Array
    points: Array
    means: Array
    country: Array
    length: int

    @classmethod
    def fit(cls, engine: Engine, logs: Logs, space: Space, options: CarouselsConfig) -> Offer:
        """Place the playlists and the countries in a space."""
        xp = engine.xp
        sizes = _sizes(engine, logs)
        playlists = offered(sizes, options).nonzero()[0].astype(xp.int32)
        rows = playlists.astype(xp.int64) + logs.playlists.start
        warm = logs.country[: logs.n_warm].astype(xp.int64)
        inhabited = xp.unique(warm[warm >= 0])
        n = len(inhabited)
        country = engine.lookup(xp.arange(len(logs.countries) + 1, dtype=xp.int64), inhabited)
        country = xp.where(country < 0, n, country).astype(xp.int32)
        every, known = xp.arange(logs.n_warm, dtype=xp.int32), warm >= 0
        everybody = xp.full(logs.n_warm, n, dtype=xp.int32)
        members = engine.csr(
            xp.concatenate([country[warm][known], everybody]),
            xp.concatenate([every[known], every]),
            xp.ones(int(known.sum()) + logs.n_warm, dtype=xp.float32),
            (n + 1, logs.n_warm),
        )
        return cls(
            playlists,
            engine.pool(logs.members, space.tracks, rows=rows),
            engine.pool(members, space.users),
            country,
            length(sizes, options),
        )


def carousels(context: Context, offer: Offer, users: Users) -> dict[str, Carousel]:
    """The carousel of each arm for each user.

    Returns
    -------
    dict of arm to Carousel
        In the order of :data:`ARMS`; empty where there is no playlist to show.
    """
    if not offer.length:
        return {}
    engine, xp = context.engine, context.engine.xp
    retriever = Retriever(engine, offer.points, context.similarity)

    def show(places: Array, rows: Any, segments: Array | None = None) -> Carousel:
        """Rank each place once; several users may share one."""
        nearest, scores = retriever.rank(places, offer.length)
        return Carousel(offer.playlists[nearest][rows], scores[rows], segments)

    segment = engine.nearest(users.predicted, context.centroids, 1)[0][:, 0]
    met, row = xp.unique(segment, return_inverse=True)
    return {
        "default": show(offer.means, offer.country[users.registrations.country[users.numbers]]),
        "semi": show(context.centroids[met], row, segment),
        "full": show(users.predicted, slice(None)),
    }


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
    'like a segment of listeners about whom nothing is known'
    """
    from_country = [f"from {country}"] if country is not None else []
    aged = [f"aged {age_class}"] if age_class is not None else []
    of_genres = [f"of {', '.join(genres)}"] if genres else []
    parts = [*from_country, *aged, *of_genres]
    if not parts:
        return "like a segment of listeners about whom nothing is known"
    return f"like listeners {', '.join(parts)}"


def columns(
    engine: Engine,
    user_ids: Array,
    playlist_ids: Array,
    carousel: Carousel,
    explained: Sequence[str],
    *,
    ids: Ids,
    titles: Titles,
) -> dict[str, Any]:
    """A carousel as table columns, a row for each user and playlist, in the order of ``user_ids``.

    Columns ``user_id``, ``rank`` (from 1), ``playlist_id``, ``title`` where there is one, and
    ``score``; in the arm ``semi`` also ``segment`` and ``explanation``.

    Parameters
    ----------
    user_ids : Array [users] of int64
    playlist_ids : Array [playlists] of int64
        Of the whole catalogue.
    explained : sequence of str
        :func:`explanations` of the segments.
    ids : Ids
        What the int64 of users and playlists stand for.
    titles : Titles
    """
    host = engine.to_host
    n, k = carousel.playlists.shape
    shown = host(playlist_ids[carousel.playlists])
    table: dict[str, Any] = {
        "user_id": ids.names("user", np.repeat(host(user_ids), k)),
        "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n),
        "playlist_id": ids.names("playlist", shown),
        **titles.of_playlists(shown),
        "score": host(carousel.scores).ravel(),
    }
    if carousel.segments is not None:
        segments = host(carousel.segments)
        table["segment"] = np.repeat(segments, k)
        table["explanation"] = [explained[segment] for segment in segments for _ in range(k)]
    return table


def explanations(described: Mapping[str, HostArray | Sequence[Any]]) -> list[str]:
    """The explanation of each segment, from :func:`gpu_coldstart.segments.describe`."""
    known = (described[name] for name in ("country", "age_class", "genres"))
    return [explanation(*parts) for parts in zip(*known, strict=True)]
