"""k-means by the engine's own primitives, in bounded memory, where cuML is missing or unbounded.

Before compute capability 7 there is none. From 10 (Blackwell) on, cuVS stores the distance of every
point from every centroid, 4 bytes each, whatever limit it is given; and its start, k-means||,
weighs some sixteen candidates a segment: gigabytes at the paper's size.
"""

from __future__ import annotations

import cupy as cp
import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Array, Engine, KmeansOptions
from gpu_coldstart.engine.cuda.geometry import members

__all__ = ["kmeans"]

_MOST_SEED = 2**31 - 1


def kmeans(engine: Engine, points: Array, options: KmeansOptions) -> Array:
    """Centroids [k, d] by Lloyd's iterations from greedy k-means++ on a sample of the points.

    Nothing is larger than the points but what :meth:`Engine.nearest` takes, which does with the
    memory there is. Iterations end where one does not lower the inertia.

    Parameters
    ----------
    engine : Engine
    points : Array [n, d] of float32
    options : KmeansOptions
    """
    points = cp.ascontiguousarray(points, dtype=cp.float32)
    further = np.random.default_rng((options.seed, 1)).integers(
        _MOST_SEED, size=options.restarts - 1
    )
    starts = [_from_one_start(engine, points, options, options.seed)]
    for seed in further.tolist():
        starts.append(_from_one_start(engine, points, options, seed))
    return min(starts, key=lambda start: start[0])[1]


def _from_one_start(
    engine: Engine, points: Array, options: KmeansOptions, seed: int
) -> tuple[float, Array]:
    """The inertia at the last assignment, and the means after it."""
    k = options.k
    order = np.random.default_rng(seed).permutation(len(points))
    sample = np.sort(order[: options.seeding_points * k or len(points)])
    centroids = _plus_plus(points[cp.asarray(sample)], k, seed)
    least = np.inf
    for _ in range(options.iterations):
        labels, distances = engine.nearest(points, centroids, 1)
        inertia = float(cp.square(distances.astype(cp.float64)).sum())
        if inertia >= least:
            break
        least = inertia
        occupied = settle.occupy_all(cp, labels[:, 0], distances[:, 0], k)
        centroids = engine.pool(members(occupied, k), points)
    return least, centroids


def _plus_plus(points: Array, k: int, seed: int) -> Array:
    """``k`` of some points [n, d], by greedy k-means++; no value is read back to the host.

    Each is the one that lowers the inertia most of ``2 + log k``, drawn with probabilities in
    proportion to their squared distances from those before.
    """
    n, trials = len(points), 2 + int(np.log(k))
    random = cp.random.default_rng(seed)
    lengths = cp.square(points).sum(axis=1)
    chosen = cp.empty(k, dtype=cp.int64)
    chosen[:1] = random.integers(0, n, size=1)
    first = points[chosen[:1]]
    squares = cp.square(points - first).sum(axis=1)
    for step in range(1, k):
        summed = cp.cumsum(squares, dtype=cp.float64)
        drawn = cp.searchsorted(summed, random.random(trials) * summed[-1], side="right")
        drawn = cp.minimum(drawn, n - 1)  # where all are at no distance
        apart = lengths[drawn][:, None] + lengths - 2 * (points[drawn] @ points.T)
        apart = cp.minimum(squares, cp.maximum(apart, 0))
        best = cp.argmin(apart.sum(axis=1, dtype=cp.float64))
        squares = apart[best]
        chosen[step] = drawn[best]
        squares[drawn[best]] = 0  # but for rounding
    return points[chosen]
