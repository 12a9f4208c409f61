"""Warm user segments, their popular tracks and their descriptions (3.1.3, 4.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_coldstart.config.parameters import SegmentsConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine, HostArray, Kmeans, KmeansOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.features import age_class_names, age_classes
from gpu_coldstart.spaces import Space

__all__ = [
    "Segments",
    "cluster",
    "describe",
    "favourites",
    "fit",
    "number_of_segments",
    "shares_of",
    "shares_of_counts",
]

_WARM_USERS_EACH = 70  # 70 000 warm users in 1000 segments
_MOST = 1000
_GENRES_NAMED = 3


@dataclass(frozen=True)
class Segments:
    """A segmentation of the warm users.

    Attributes
    ----------
    centroids : Array [k, d] of float32
        Mean of the members' embeddings.
    labels : Array [warm users] of int32
    shares : Csr [k, tracks]
        Popularity of each track in each segment, as :func:`shares_of` counts it.
    inertia : float
        Sum of squared distances to the centroids.
    """

    centroids: Array
    labels: Array
    shares: Csr
    inertia: float


def number_of_segments(k: int, n_warm: int) -> int:
    """The k of k-means: as configured, or one for every 70 warm users, at most 1000.

    Raises
    ------
    UserError
        When more segments are asked for than there are warm users.
    """
    if k > n_warm:
        raise UserError(
            f"setting 'segments.k' is {k}, more than the {n_warm} warm users: set it lower, or to "
            "0 for a number that fits"
        )
    return k or max(1, min(_MOST, n_warm // _WARM_USERS_EACH))


def fit(engine: Engine, logs: Logs, space: Space, options: SegmentsConfig, seed: int) -> Segments:
    """Cut the warm users of a space into segments and rank each segment's tracks."""
    k = number_of_segments(options.k, logs.n_warm)
    clusters = cluster(engine, space.users, k, options, seed)
    shares = shares_of(engine, logs.plays, clusters.labels, k, of=options.popularity)
    return Segments(clusters.centroids, clusters.labels, shares, clusters.inertia)


def cluster(engine: Engine, points: Array, k: int, options: SegmentsConfig, seed: int) -> Kmeans:
    """The configured k-means of points [n, d]."""
    return engine.kmeans(
        points,
        KmeansOptions(
            k=k,
            iterations=options.iterations,
            seed=seed,
            restarts=options.restarts,
            seeding_points=options.seeding_points,
        ),
    )


def shares_of(engine: Engine, plays: Csr, labels: Array, k: int, *, of: str) -> Csr:
    """Popularity of each track in each segment; a member counts once per track.

    Within a segment both ways give the same order. Between segments, where soft allocation
    blends them, ``listens`` gives less to a segment whose members know many tracks.

    Parameters
    ----------
    plays : Csr [users, tracks]
    labels : Array [users] of int32
    of : {"members", "listens"}
        Members who streamed the track over all members; or over all such pairs of a member and a
        track in the segment, so that a segment's tracks add up to 1.

    Returns
    -------
    Csr [k, tracks]
    """
    counts = engine.segment_counts(labels, plays, k)
    return shares_of_counts(engine, counts, engine.xp.bincount(labels, minlength=k), of=of)


def shares_of_counts(engine: Engine, counts: Csr, sizes: Array, *, of: str) -> Csr:
    """The same of what is counted already.

    Parameters
    ----------
    counts : Csr [k, tracks]
        Members who streamed each track.
    sizes : Array [k] of integers
        Members.
    """
    xp = engine.xp
    segments, _ = entries(engine, counts)
    totals = sizes
    if of == "listens":
        totals = xp.bincount(segments, weights=counts.data, minlength=len(sizes))
    return counts.with_data(counts.data / totals.astype(xp.float32)[segments])


def favourites(engine: Engine, track_ids: Array, shares: Csr, depth: int) -> dict[str, HostArray]:
    """Each segment's most popular tracks, as table columns, from :attr:`Segments.shares`.

    Columns ``segment``, ``rank`` (from 1), ``track_id`` and ``probability``, the track's share of
    the members or of their listens (:func:`shares_of`); a segment whose members know fewer than
    ``depth`` has fewer rows.
    """
    tracks, share = engine.row_top(shares, depth)
    segment, rank = (share > 0).nonzero()
    columns = {
        "segment": segment,
        "rank": rank + 1,
        "track_id": track_ids[tracks[segment, rank]],
        "probability": share[segment, rank],
    }
    return {name: engine.to_host(column) for name, column in columns.items()}


def describe(
    engine: Engine, logs: Logs, segments: Segments, first_ages: tuple[int, ...]
) -> dict[str, HostArray | list[object]]:
    """Each segment's size, commonest country, age class and genres, as table columns.

    Genres are the (up to three) most common among the tracks that members streamed. Whatever is
    unknown for all members is None.
    """
    xp = engine.xp
    k = int(segments.centroids.shape[0])
    sizes = xp.bincount(segments.labels, minlength=k)
    warm = logs.users("warm")
    country = _commonest(engine, segments.labels, logs.country[warm], logs.countries, k)
    names = age_class_names(first_ages)
    ages = age_classes(engine, logs.age[warm], first_ages)
    age = _commonest(engine, segments.labels, ages, names, k)
    users, tracks = entries(engine, logs.history)
    genre = logs.genre[tracks]
    known = genre >= 0
    counts = xp.bincount(
        segments.labels[users[known]].astype(xp.int64) * max(1, len(logs.genres)) + genre[known],
        minlength=k * max(1, len(logs.genres)),
    ).reshape(k, -1)
    table = engine.to_host(counts)
    order = (-table).argsort(axis=1, kind="stable")[:, :_GENRES_NAMED]
    genres: list[object] = [
        [logs.genres[g] for g in row if len(logs.genres) and table[segment, g]]
        for segment, row in enumerate(order)
    ]
    return {
        "segment": engine.to_host(xp.arange(k)),
        "size": engine.to_host(sizes),
        "country": country,
        "age_class": age,
        "genres": genres,
    }


def _commonest(
    engine: Engine, labels: Array, codes: Array, names: tuple[str, ...], k: int
) -> list[object]:
    """Most frequent known name in each segment; None where nothing is known."""
    xp = engine.xp
    known = (codes >= 0) & (codes < len(names))
    width = max(1, len(names))
    counts = xp.bincount(
        labels[known].astype(xp.int64) * width + codes[known], minlength=k * width
    ).reshape(k, width)
    best, most = engine.to_host(counts.argmax(axis=1)), engine.to_host(counts.max(axis=1))
    return [names[code] if count else None for code, count in zip(best, most, strict=True)]
