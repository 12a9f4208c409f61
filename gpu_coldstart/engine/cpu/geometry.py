"""Distances and inner products on the CPU: nearest centroids, top-k."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.rough import Rough, pays
from gpu_coldstart.engine.cpu.small import small
from gpu_coldstart.engine.cpu.threads import Scratch, over_rows

__all__ = ["Closeness", "longest", "nearest", "top_k"]

_BLOCK = 64
"""Queries whose scores of all items a thread holds at once, by NumPy alone."""

_TRIED = 256
"""Queries by which it is seen whether half precision leaves few open."""

_CACHED = 1 << 20
"""Numbers that a core works on at once, so that they stay in the cache."""

_RUNS, _LEAST = 16, 1024
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
        self._halves = _halves(centroids)
        self._scratch = Scratch(self.batch, len(centroids))

    def __call__(self, points: HostArray) -> HostArray:
        """[points, k]; the next call on this thread overwrites it."""
        values: HostArray = self._scratch.array[: len(points)]
        np.matmul(points, self._across, out=values)
        values -= self._halves
        return values


def nearest(points: HostArray, centroids: HostArray, n: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.nearest`."""
    points = np.ascontiguousarray(points, np.float32)
    centroids = np.ascontiguousarray(centroids, np.float32)
    return _neighbours(points, centroids, n, longest(centroids), distances=True)


def longest(items: HostArray) -> float:
    """See :meth:`gpu_coldstart.engine.base.Engine.longest`; without a copy of the items."""
    return float(np.sqrt(np.einsum("ij,ij->i", items, items, dtype=np.float64).max()))


def top_k(
    queries: HostArray, items: HostArray, k: int, length: float | None = None
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.top_k`; ``length`` is of the longest item."""
    queries = np.ascontiguousarray(queries, np.float32)
    items = np.ascontiguousarray(items, np.float32)
    length = longest(items) if length is None else length
    return _neighbours(queries, items, k, length, distances=False)


def _neighbours(
    queries: HostArray, items: HostArray, n: int, length: float, *, distances: bool
) -> tuple[HostArray, HostArray]:
    """The best ``n`` items of each query by exact keys, and distances or products."""
    depth = min(n + settle.SPARE, len(items))
    if small(len(queries) * depth * queries.shape[1]):
        return _by_partition(queries, items, n, depth, length, distances=distances)
    from gpu_coldstart.engine.cpu.pairs import keys_of
    from gpu_coldstart.engine.cpu.search import search

    offsets = _halves(items) if distances else np.zeros(len(items), np.float32)
    best = np.empty((len(queries), n), np.int32)
    keys = np.empty((len(queries), n), np.float32)

    def look(rows: HostArray, times: Callable[..., Any], *, eager: bool = False) -> HostArray:
        """Find those of some queries; returns which are left open."""
        some = queries if len(rows) == len(queries) else queries[rows]
        multiply, errors = times(some)
        slack = settle.slack(np, some, length, distances=distances)
        margins = 2 * errors + (slack / 2 if distances else slack)
        best[rows], keys[rows], crowded = search(
            some,
            items,
            multiply,
            offsets,
            margins.astype(np.float32),
            n=n,
            distances=distances,
            eager=eager,
        )
        return rows[crowded]

    left = np.arange(len(queries))
    if pays(len(queries), len(items)):
        times = Rough(items, length).times
        # Where the best are too close to each other it is so for all. A few are not cut in two.
        first = _TRIED if len(queries) > 4 * _TRIED else len(queries)
        tried, rest = look(left[:first], times), left[first:]
        if len(rest) and 4 * len(tried) < first:
            rest = look(rest, times)
        left = np.concatenate([tried, rest])
    for eager in (False, True):
        left = look(left, partial(_precisely, items), eager=eager) if len(left) else left

    def pair(rows: HostArray, _: HostArray | None) -> HostArray:
        return keys_of(queries[rows], items, None, distances=distances)

    settle.among_all(np, left, len(items), (best, keys), pair, distances=distances)
    return best, keys if distances else 0 - keys  # no negative null


def _precisely(
    items: HostArray, queries: HostArray
) -> tuple[Callable[[slice, slice, HostArray], None], float]:
    """What multiplies queries with items, and by how much products err beside rounded sums."""

    def multiply(rows: slice, some: slice, out: HostArray) -> None:
        np.matmul(queries[rows], items[some].T, out=out)

    return multiply, 0.0


def _by_partition(
    queries: HostArray,
    items: HostArray,
    n: int,
    depth: int,
    length: float,
    *,
    distances: bool,
) -> tuple[HostArray, HostArray]:
    """The same by NumPy alone."""
    candidates = np.empty((len(queries), depth), np.int64)
    halves = _halves(items) if distances else np.float32(0)

    def work(start: int, stop: int) -> None:
        scores = queries[start:stop] @ items.T - halves
        candidates[start:stop] = np.argpartition(scores, len(items) - depth, axis=1)[:, -depth:]

    over_rows(len(queries), _BLOCK, work)

    def pair(rows: HostArray, some: HostArray | None) -> HostArray:
        if some is not None:
            return _few_keys(queries[rows], items, some, distances=distances)
        keys: HostArray = settle.pair_keys(np, queries[rows], items, None, distances=distances)
        return keys

    return settle.best_of(
        np, queries, items, candidates, n=n, longest=length, distances=distances, pair=pair
    )


def _halves(items: HostArray) -> HostArray:
    """Of each item's squared length."""
    halves: HostArray = np.square(items).sum(axis=1) / 2
    return halves


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
