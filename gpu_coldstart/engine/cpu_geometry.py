"""Distances and inner products on the CPU: k-means, nearest centroids, top-k."""

from __future__ import annotations

import faiss
import numpy as np

from gpu_coldstart.engine.base import HostArray, Kmeans

__all__ = ["kmeans", "nearest", "top_k"]

_SEEDING_POINTS = 20
"""k-means++ looks at this many points for each segment.

With all 70 of the paper's size the inertia was 0.15 % lower, and k-means took 1.7 times as long.
"""

_EXACT_BATCH = 256
"""Queries whose full score rows are held at once when ties must be settled."""


def kmeans(points: HostArray, k: int, *, iterations: int, seed: int) -> Kmeans:
    """See :meth:`gpu_coldstart.engine.base.Engine.kmeans`.

    scikit-learn's k-means++ chooses the start on a sample (faiss starts from random points, which
    costs about 15 % in inertia); faiss iterates on all points.
    """
    from sklearn.cluster import kmeans_plusplus

    points = np.ascontiguousarray(points, np.float32)
    sample = np.sort(np.random.default_rng(seed).permutation(len(points))[: _SEEDING_POINTS * k])
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
    labels = _occupy_all(found[:, 0], distances[:, 0], k)
    centroids = _means(points, labels, k)
    inertia = float(np.square(points - centroids[labels], dtype=np.float64).sum())
    return Kmeans(centroids, labels, inertia)


def _occupy_all(labels: HostArray, distances: HostArray, k: int) -> HostArray:
    """Give each empty segment the point farthest from its centroid in a segment of several."""
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    if len(empty) == 0:
        return labels
    farthest = np.argsort(-distances, kind="stable")
    # The nearest point of a segment stays, so that none is emptied to fill another.
    _, stays = np.unique(labels[farthest[::-1]], return_index=True)
    movable = np.delete(farthest, len(farthest) - 1 - stays)
    labels = labels.copy()
    labels[movable[: len(empty)]] = empty
    return labels


def _means(points: HostArray, labels: HostArray, k: int) -> HostArray:
    """Mean of each segment's points, summed in double precision in the order of the points."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(k))
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return (sums / np.bincount(labels, minlength=k)[:, None]).astype(np.float32)


def nearest(points: HostArray, centroids: HostArray, n: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.nearest`."""
    points = np.ascontiguousarray(points, np.float32)
    centroids = np.ascontiguousarray(centroids, np.float32)
    _, labels = faiss.knn(points, centroids, n)
    # faiss expands |a-b|^2, which is inexact near a centroid, and near is what is asked for.
    distances = np.empty(labels.shape, np.float32)
    for place in range(n):
        distances[:, place] = np.linalg.norm(points - centroids[labels[:, place]], axis=1)
    labels, distances = _in_order(labels, distances)
    return labels.astype(np.int32), distances


def top_k(queries: HostArray, items: HostArray, k: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.top_k`.

    faiss does not say which of equal items it keeps at the end of a list. One more item than
    asked for shows where that matters, and only those few queries are ranked in full.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    items = np.ascontiguousarray(items, np.float32)
    depth = min(k + 1, len(items))
    scores, found = faiss.knn(queries, items, depth, metric=faiss.METRIC_INNER_PRODUCT)
    found, negated = _in_order(found, -scores)
    best, top = found[:, :k].astype(np.int32), -negated[:, :k]
    if depth > k:
        tied = np.flatnonzero(negated[:, k - 1] == negated[:, k])
        for start in range(0, len(tied), _EXACT_BATCH):
            rows = tied[start : start + _EXACT_BATCH]
            full = queries[rows] @ items.T
            best[rows] = np.argsort(-full, axis=1, kind="stable")[:, :k]
            top[rows] = np.take_along_axis(full, best[rows], axis=1)
    return best, np.ascontiguousarray(top)


def _in_order(indices: HostArray, keys: HostArray) -> tuple[HostArray, HostArray]:
    """Sort each row by key, equal keys by smaller index."""
    by_index = np.argsort(indices, axis=1, kind="stable")
    indices = np.take_along_axis(indices, by_index, axis=1)
    keys = np.take_along_axis(keys, by_index, axis=1)
    by_key = np.argsort(keys, axis=1, kind="stable")
    return np.take_along_axis(indices, by_key, axis=1), np.take_along_axis(keys, by_key, axis=1)
