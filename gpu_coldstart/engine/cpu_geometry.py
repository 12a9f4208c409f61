"""Distances and inner products on the CPU: k-means, nearest centroids, top-k."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray, Kmeans
from gpu_coldstart.engine.cpu_threads import over_rows

__all__ = ["kmeans", "nearest", "top_k"]

_MOST_SEED = 2**31 - 1  # faiss takes an int

_FEW = 8
_CACHED = 1 << 19
"""Numbers that a core works on at once, so that they stay in its cache."""


def kmeans(
    points: HostArray, k: int, *, iterations: int, seed: int, restarts: int, seeding_points: int
) -> Kmeans:
    """See :meth:`gpu_coldstart.engine.base.Engine.kmeans`."""
    points = np.ascontiguousarray(points, np.float32)
    best = _kmeans_once(points, k, iterations, seed, seeding_points)
    further = np.random.default_rng((seed, 1)).integers(_MOST_SEED, size=restarts - 1)
    for other in further.tolist():
        found = _kmeans_once(points, k, iterations, other, seeding_points)
        if found.inertia < best.inertia:
            best = found
    return best


def _kmeans_once(
    points: HostArray, k: int, iterations: int, seed: int, seeding_points: int
) -> Kmeans:
    """k-means from one start.

    scikit-learn's k-means++ chooses the start (faiss starts from random points, which costs about
    15 % in inertia), usually on a sample: with all 70 points a segment of the paper's size the
    inertia was 0.15 % lower, and k-means took 1.7 times as long. faiss iterates on all points.
    """
    import faiss
    from sklearn.cluster import kmeans_plusplus

    order = np.random.default_rng(seed).permutation(len(points))
    sample = np.sort(order[: seeding_points * k or len(points)])
    # In double precision: scikit-learn would convert single precision anew at every step.
    start, _ = kmeans_plusplus(points[sample].astype(np.float64), k, random_state=seed)
    trainer = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    trainer.train(points, init_centroids=np.ascontiguousarray(start, np.float32))
    found, distances = nearest(points, np.asarray(trainer.centroids), 1)
    labels = settle.occupy_all(np, found[:, 0], distances[:, 0], k)
    centroids = _means(points, labels, k)
    inertia = float(np.square(points - centroids[labels], dtype=np.float64).sum())
    return Kmeans(centroids, labels, inertia)


def _means(points: HostArray, labels: HostArray, k: int) -> HostArray:
    """Mean of each segment's points, summed in double precision in the order of the points."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(k))
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return (sums / np.bincount(labels, minlength=k)[:, None]).astype(np.float32)


def nearest(points: HostArray, centroids: HostArray, n: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.nearest`.

    A few are found by as many passes over the products, which beats faiss's heaps; many by faiss.
    """
    points = np.ascontiguousarray(points, np.float32)
    centroids = np.ascontiguousarray(centroids, np.float32)
    depth = min(n + 1, len(centroids))
    found = np.empty((len(points), depth), np.int64)
    if depth > _FEW:
        import faiss

        found = faiss.knn(points, centroids, depth)[1]
    halves = np.square(centroids).sum(axis=1) / 2
    labels = np.empty((len(points), n), np.int32)
    distances = np.empty((len(points), n), np.float32)

    def work(start: int, stop: int) -> None:
        some, candidates = points[start:stop], found[start:stop]
        if depth <= _FEW:
            # |p|^2 / 2 less half the squared distance is largest for the nearest.
            _largest(some @ centroids.T - halves, candidates)
        apart = centroids[candidates]
        np.subtract(some[:, None], apart, out=apart)
        exact = np.sqrt(np.einsum("pnd,pnd->pn", apart, apart))
        labels[start:stop], distances[start:stop] = settle.nearest_first(
            np, some, centroids, candidates, n=n, distances=exact
        )

    over_rows(len(points), max(1, _CACHED // max(centroids.shape)), work)
    return labels, distances


def _largest(values: HostArray, places: HostArray) -> None:
    """Fill ``places`` [rows, n] with where each row of ``values`` is largest, which it spends."""
    rows = np.arange(len(values))
    for column in range(places.shape[1]):
        best = values.argmax(axis=1)
        places[:, column] = best
        values[rows, best] = -np.inf


def top_k(queries: HostArray, items: HostArray, k: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.top_k`."""
    import faiss

    queries = np.ascontiguousarray(queries, np.float32)
    items = np.ascontiguousarray(items, np.float32)
    depth = min(k + 1, len(items))
    scores, found = faiss.knn(queries, items, depth, metric=faiss.METRIC_INNER_PRODUCT)
    return settle.settle_ties(np, queries, items, found, scores, k=k)
