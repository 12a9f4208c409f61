"""Distances and inner products on the GPU: k-means, nearest centroids, top-k."""

from __future__ import annotations

from collections.abc import Callable

import cupy as cp
import numpy as np
import torch

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Array, Csr, Kmeans, KmeansOptions
from gpu_coldstart.engine.cuda.candidates import Source
from gpu_coldstart.engine.cuda.kernels import kernel
from gpu_coldstart.engine.cuda.memory import Memory
from gpu_coldstart.engine.cuda.sparse import csr

__all__ = ["Search", "kmeans", "members"]

_MOST_NEIGHBOURS = 2048
"""Longer lists are sorted whole: faiss selects no more on a GPU."""

_TOLERANCE = float(np.finfo(np.float32).tiny)
"""k-means stops early only where nothing moves, or the float32 inertia rises; cuML refuses 0."""


class Search:
    """Exact neighbours, from the candidates of a library on this device.

    Parameters
    ----------
    memory : Memory
    source : Source
        Finds the candidates.
    """

    most_items = 1 << 15
    """Items searched at once: faiss cuts its tiles by the card, not by its workspace, and takes
    what that does not hold straight from the driver. So many keep its tiles of scores within it."""

    def __init__(self, memory: Memory, source: Source) -> None:
        self._memory = memory
        self._source = source

    def _neighbours(self, queries: Array, items: Array, n: int, *, distances: bool) -> Array:
        """The best n items by the source's values [queries, n]."""
        keys = labels = None
        for first in range(0, len(items), self.most_items):
            some = items[first : first + self.most_items]
            near = self._source(
                _tensor(queries), _tensor(some), min(n, len(some)), distances=distances
            )
            values, places = (cp.from_dlpack(part) for part in near)
            values, places = values if distances else -values, places + first
            if labels is not None:
                values = cp.concatenate([keys, values], axis=1)
                places = cp.concatenate([labels, places], axis=1)
                best = cp.argsort(values, axis=1)[:, :n]
                values = cp.take_along_axis(values, best, axis=1)
                places = cp.take_along_axis(places, best, axis=1)
            keys, labels = values, places
        return labels

    def _batched(
        self, what: str, rows: Array, items: Array, row_bytes: int, work: Callable[[int, int], None]
    ) -> None:
        """Work in batches that leave room for what the source takes, too."""
        pairs = self._source.pair_bytes * min(len(items), self.most_items)
        self._memory.batched(what, len(rows), row_bytes + pairs, work)

    def nearest(self, points: Array, centroids: Array, n: int) -> tuple[Array, Array]:
        """See :meth:`gpu_coldstart.engine.base.Engine.nearest`."""
        depth = min(n + 1, len(centroids))
        longest = float(cp.linalg.norm(centroids, axis=1).max())
        nearest = cp.empty((len(points), n), dtype=cp.int32)
        distances = cp.empty((len(points), n), dtype=cp.float32)

        def work(start: int, stop: int) -> None:
            some = points[start:stop]
            labels = self._neighbours(some, centroids, depth, distances=True)
            nearest[start:stop], distances[start:stop] = settle.best_of(
                cp,
                some,
                centroids,
                labels,
                n=n,
                longest=longest,
                distances=True,
                pair=_keys(some, centroids, distances=True),
            )

        row_bytes = 4 * (3 * points.shape[1] + 24 * depth)
        self._batched("the nearest segments", points, centroids, row_bytes, work)
        return nearest, distances

    def top_k(self, queries: Array, items: Array, k: int, longest: float) -> tuple[Array, Array]:
        """See :meth:`gpu_coldstart.engine.base.Engine.top_k`."""
        depth = min(k + settle.SPARE, len(items))
        best = cp.empty((len(queries), k), dtype=cp.int32)
        top = cp.empty((len(queries), k), dtype=cp.float32)

        def work(start: int, stop: int) -> None:
            some = queries[start:stop]
            if depth > _MOST_NEIGHBOURS:
                best[start:stop], top[start:stop] = _sort_all(some, items, k)
                return
            candidates = self._neighbours(some, items, depth, distances=False)
            best[start:stop], top[start:stop] = settle.best_of(
                cp,
                some,
                items,
                candidates,
                n=k,
                longest=longest,
                distances=False,
                pair=_keys(some, items, distances=False),
            )

        width = 24 * depth if depth <= _MOST_NEIGHBOURS else 16 * len(items)
        row_bytes = 4 * (queries.shape[1] + width)
        self._batched("the nearest tracks", queries, items, row_bytes, work)
        return best, top


def _keys(queries: Array, items: Array, *, distances: bool) -> settle.Keys:
    """:func:`gpu_coldstart.engine.settle.pair_keys` of the same bits, by our kernel."""
    items = cp.ascontiguousarray(items)

    def pair(rows: Array, some: Array | None) -> Array:
        ours = cp.ascontiguousarray(queries[rows])
        chosen = cp.arange(len(items))[None] if some is None else some
        keys = cp.empty((len(ours), chosen.shape[1]), dtype=cp.float64)
        kernel("pair_keys")(
            keys.size,
            1,
            queries=ours,
            items=items,
            chosen=cp.ascontiguousarray(chosen, dtype=cp.int32),
            keys=keys,
            n=len(ours),
            rows=len(chosen),
            width=keys.shape[1],
            d=ours.shape[1],
            distances=int(distances),
        )
        return keys

    return pair


def _sort_all(queries: Array, items: Array, k: int) -> tuple[Array, Array]:
    """The best ``k`` by sorting all scores, for lists that are longer than candidates are."""
    exact = _keys(queries, items, distances=False)(slice(None), None)
    keys = settle.as_returned(cp, exact, distances=False)
    order = cp.argsort(keys, axis=1, kind="stable")[:, :k]
    return order.astype(cp.int32), 0 - cp.take_along_axis(keys, order, axis=1)


def _tensor(array: Array) -> torch.Tensor:
    return torch.utils.dlpack.from_dlpack(cp.ascontiguousarray(array, dtype=cp.float32))


def members(labels: Array, k: int) -> Csr:
    """The points of each label [k, points], each once."""
    n = len(labels)
    return csr(labels, cp.arange(n), cp.ones(n, dtype=cp.float32), (k, n))


def kmeans(points: Array, options: KmeansOptions) -> Array:
    """Centroids [k, d] by cuML's k-means, from its scalable k-means++ starts (k-means||).

    With ``seeding_points`` of 0 it starts from plain k-means++. cuML does not promise to repeat
    itself bit by bit with the same seed.
    """
    from cuml.cluster import KMeans

    model = KMeans(
        n_clusters=options.k,
        max_iter=options.iterations,
        tol=_TOLERANCE,
        random_state=options.seed,
        init="scalable-k-means++" if options.seeding_points else "k-means++",
        n_init=options.restarts,
        output_type="cupy",
    )
    model.fit(cp.ascontiguousarray(points, dtype=cp.float32))
    return cp.asarray(model.cluster_centers_, dtype=cp.float32)


def as_kmeans(memory: Memory, points: Array, labels: Array, centroids: Array) -> Kmeans:
    """A result with its inertia, summed in double precision."""
    squares = cp.empty(len(points), dtype=cp.float64)

    def work(start: int, stop: int) -> None:
        apart = (points[start:stop] - centroids[labels[start:stop]]).astype(cp.float64)
        squares[start:stop] = (apart * apart).sum(axis=1)

    memory.batched("the inertia", len(points), 20 * points.shape[1], work)
    return Kmeans(centroids, labels, float(squares.sum()))
