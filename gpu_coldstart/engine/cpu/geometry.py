"""Distances and inner products on the CPU: nearest centroids, top-k."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.small import few, small
from gpu_coldstart.engine.cpu.threads import Scratch, number_of_threads, over_rows

__all__ = ["Closeness", "longest", "nearest", "top_k"]

_FEW = 8
_BLOCK = 64
"""Queries whose scores a thread holds at once, where they are few."""

_CACHED = 1 << 20
"""Numbers that a core works on at once, so that they stay in the cache."""

_PAIRS = 1 << 15
"""Pairs of a query and a candidate that a thread settles at once."""

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
        values: HostArray = self._scratch.array[: len(points)]
        np.matmul(points, self._across, out=values)
        values -= self._halves
        return values


def nearest(points: HostArray, centroids: HostArray, n: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.nearest`.

    A few are found by as many passes over the products, which beats faiss's heaps; many by faiss,
    or for few points by a partition.
    """
    points = np.ascontiguousarray(points, np.float32)
    centroids = np.ascontiguousarray(centroids, np.float32)
    depth = min(n + 1, len(centroids))
    candidates = np.empty((len(points), depth), np.int64)
    closeness = Closeness(centroids, len(points))
    if depth > _FEW and not few(len(points)):
        import faiss

        candidates = faiss.knn(points, centroids, depth)[1]
    else:
        find = _largest if depth <= _FEW else _partitioned

        def work(start: int, stop: int) -> None:
            find(closeness(points[start:stop]), candidates[start:stop])

        over_rows(len(points), closeness.batch, work)
    return _settled(points, centroids, candidates, n, longest(centroids), distances=True)


def _largest(values: HostArray, places: HostArray) -> None:
    """Fill ``places`` [rows, n] with where each row of ``values`` is largest, which it spends."""
    rows = np.arange(len(values))
    for column in range(places.shape[1]):
        best = values.argmax(axis=1)
        places[:, column] = best
        values[rows, best] = -np.inf


def _partitioned(values: HostArray, places: HostArray) -> None:
    """As :func:`_largest`, in any order, and values are kept."""
    n = places.shape[1]
    places[:] = np.argpartition(values, values.shape[1] - n, axis=1)[:, -n:]


def longest(items: HostArray) -> float:
    """See :meth:`gpu_coldstart.engine.base.Engine.longest`; without a copy of the items."""
    return float(np.sqrt(np.einsum("ij,ij->i", items, items).max()))


def top_k(
    queries: HostArray, items: HostArray, k: int, length: float | None = None
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.top_k`; ``length`` is of the longest item."""
    queries = np.ascontiguousarray(queries, np.float32)
    items = np.ascontiguousarray(items, np.float32)
    depth = min(k + settle.SPARE, len(items))
    candidates = np.empty((len(queries), depth), np.int64)
    if not few(len(queries)):
        import faiss

        def search(start: int, stop: int) -> None:
            # This thread's; of faiss's own, some would wait for others after each run of items.
            faiss.omp_set_num_threads(1)
            some, by = queries[start:stop], faiss.METRIC_INNER_PRODUCT
            candidates[start:stop] = faiss.knn(some, items, depth, metric=by)[1]

        over_rows(len(queries), -(-len(queries) // number_of_threads()), search)
    else:

        def work(start: int, stop: int) -> None:
            _partitioned(queries[start:stop] @ items.T, candidates[start:stop])

        over_rows(len(queries), _BLOCK, work)
    length = longest(items) if length is None else length
    return _settled(queries, items, candidates, k, length, distances=False)


def _few_keys(
    queries: HostArray, items: HostArray, candidates: HostArray, *, distances: bool
) -> HostArray:
    """:func:`gpu_coldstart.engine.settle.pair_keys` of few pairs, to the same bits.

    NumPy's ``cumsum`` adds one after the other, as the loop over dimensions does there.
    """
    ours, theirs = queries[:, None].astype(np.float64), items[candidates].astype(np.float64)
    terms = np.square(ours - theirs) if distances else -(ours * theirs)
    keys: HostArray = np.cumsum(terms, axis=2)[:, :, -1]
    return keys


def _settled(
    queries: HostArray,
    items: HostArray,
    candidates: HostArray,
    n: int,
    length: float,
    *,
    distances: bool,
) -> tuple[HostArray, HostArray]:
    """The best ``n`` of candidates by exact values: :func:`gpu_coldstart.engine.settle.best_of`."""
    best = np.empty((len(queries), n), np.int32)
    values = np.empty((len(queries), n), np.float32)
    if small(candidates.size * queries.shape[1]):

        def pair(rows: HostArray, some: HostArray | None) -> HostArray:
            if some is not None:
                return _few_keys(queries[rows], items, some, distances=distances)
            keys: HostArray = settle.pair_keys(np, queries[rows], items, None, distances=distances)
            return keys

        return settle.best_of(
            np,
            queries,
            items,
            candidates,
            n=n,
            longest=length,
            distances=distances,
            pair=pair,
        )
    from gpu_coldstart.engine.cpu.pairs import keys_of

    def work(start: int, stop: int) -> None:
        some = queries[start:stop]

        def pair(rows: HostArray, chosen: HostArray | None) -> HostArray:
            return keys_of(some[rows], items, chosen, distances=distances)

        best[start:stop], values[start:stop] = settle.best_of(
            np,
            some,
            items,
            candidates[start:stop],
            n=n,
            longest=length,
            distances=distances,
            pair=pair,
        )

    over_rows(len(queries), max(1, _PAIRS // candidates.shape[1]), work)
    return best, values
