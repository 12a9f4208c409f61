"""Distances and inner products on the CPU: nearest centroids, top-k."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.jit import compiled, squared_distance
from gpu_coldstart.engine.cpu.threads import Scratch, over_rows

__all__ = ["Closeness", "nearest", "top_k"]

_FEW = 8
_CACHED = 1 << 20
"""Numbers that a core works on at once, so that they stay in the cache."""

_RUNS, _LEAST = 16, 256
"""Runs to cut points into, if that leaves each so many, so that threads end at the same time."""


class Closeness:
    """Of points to centroids: |p|^2 / 2 less half the squared distance, largest for the nearest.

    Parameters
    ----------
    centroids : array [k, d] of float32
    n : int
        How many points there will be in all.

    Attributes
    ----------
    batch : int
        Points to look at in one call, at most.
    """

    def __init__(self, centroids: HostArray, n: int):
        self.batch = max(1, min(_CACHED // max(centroids.shape), max(_LEAST, n // _RUNS)))
        self._across = centroids.T
        self._halves = np.square(centroids).sum(axis=1) / 2
        self._scratch = Scratch(self.batch, len(centroids))

    def __call__(self, points: HostArray) -> HostArray:
        """[points, k]; the next call on this thread overwrites it."""
        found: HostArray = self._scratch.array[: len(points)]
        np.matmul(points, self._across, out=found)
        found -= self._halves
        return found


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
    closeness = Closeness(centroids, len(points))
    labels = np.empty((len(points), n), np.int32)
    distances = np.empty((len(points), n), np.float32)

    def work(start: int, stop: int) -> None:
        some, candidates = points[start:stop], found[start:stop]
        if depth <= _FEW:
            _largest(closeness(some), candidates)
        tied = _nearest_first(
            some, centroids, candidates, labels[start:stop], distances[start:stop]
        )
        rows = np.flatnonzero(tied)
        if len(rows):
            labels[start + rows], distances[start + rows] = settle.nearest_first(
                np, some[rows], centroids, candidates[rows], n=n
            )

    over_rows(len(points), closeness.batch, work)
    return labels, distances


@compiled
def _nearest_first(
    points: HostArray,
    centroids: HostArray,
    candidates: HostArray,
    labels: HostArray,
    distances: HostArray,
) -> HostArray:
    """Candidates in order of their exact distances, equals by smaller label.

    :func:`gpu_coldstart.engine.settle.nearest_first` in one pass; returns [p] of bool which rows
    have a tie at the end of their list, and are left to it.
    """
    tied = np.zeros(len(points), np.bool_)
    n, depth = labels.shape[1], candidates.shape[1]
    order = np.empty(depth, np.int64)
    found = np.empty(depth, np.float32)
    for row in range(len(points)):
        for c in range(depth):
            label = candidates[row, c]
            distance = np.sqrt(squared_distance(points[row], centroids[label]))
            place = c
            while place > 0 and (
                found[place - 1] > distance
                or (found[place - 1] == distance and order[place - 1] > label)
            ):
                found[place], order[place] = found[place - 1], order[place - 1]
                place -= 1
            found[place], order[place] = distance, label
        for c in range(n):
            labels[row, c], distances[row, c] = order[c], found[c]
        tied[row] = depth > n and found[n - 1] == found[n]
    return tied


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
