"""Distances and inner products on the GPU: k-means, nearest centroids, top-k."""

from __future__ import annotations

from typing import Any

import cupy as cp
import torch

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Array, Csr, Kmeans
from gpu_coldstart.engine.cuda_memory import Memory
from gpu_coldstart.engine.cuda_sparse import csr

__all__ = ["Search", "kmeans", "members"]

_WORKSPACE = 256 << 20
"""Bytes of temporary memory for faiss, which takes none from the common pool."""

_MOST_NEIGHBOURS = 2048
"""faiss selects no more on a GPU."""


class Search:
    """Exact neighbours by faiss-gpu, on tensors of this device.

    The one place that says which library retrieves.
    """

    def __init__(self, memory: Memory) -> None:
        import faiss
        import faiss.contrib.torch_utils  # noqa: F401 - lets faiss take tensors

        self._faiss: Any = faiss
        self._memory = memory
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(_WORKSPACE)

    def _neighbours(self, queries: Array, items: Array, n: int, metric: Any) -> tuple[Array, Array]:
        """The faiss values and labels [queries, n], best first."""
        if n > _MOST_NEIGHBOURS:
            raise ValueError(f"{n} neighbours asked for; faiss finds {_MOST_NEIGHBOURS} on a GPU")
        values, labels = self._faiss.knn_gpu(
            self._resources, _tensor(queries), _tensor(items), n, metric=metric
        )
        return cp.from_dlpack(values), cp.from_dlpack(labels)

    def nearest(self, points: Array, centroids: Array, n: int) -> tuple[Array, Array]:
        """See :meth:`gpu_coldstart.engine.base.Engine.nearest`."""
        depth = min(n + 1, len(centroids))
        found = cp.empty((len(points), n), dtype=cp.int32)
        distances = cp.empty((len(points), n), dtype=cp.float32)

        def work(start: int, stop: int) -> None:
            some = points[start:stop]
            _, labels = self._neighbours(some, centroids, depth, self._faiss.METRIC_L2)
            found[start:stop], distances[start:stop] = settle.nearest_first(
                cp, some, centroids, labels, n=n
            )

        row_bytes = 4 * (3 * points.shape[1] + 16 * n)
        self._memory.batched("the nearest segments", len(points), row_bytes, work)
        return found, distances

    def top_k(self, queries: Array, items: Array, k: int) -> tuple[Array, Array]:
        """See :meth:`gpu_coldstart.engine.base.Engine.top_k`."""
        depth = min(k + 1, len(items))
        best = cp.empty((len(queries), k), dtype=cp.int32)
        top = cp.empty((len(queries), k), dtype=cp.float32)

        def work(start: int, stop: int) -> None:
            some = queries[start:stop]
            scores, found = self._neighbours(some, items, depth, self._faiss.METRIC_INNER_PRODUCT)
            best[start:stop], top[start:stop] = settle.settle_ties(
                cp, some, items, found, scores, k=k
            )

        row_bytes = 4 * (queries.shape[1] + 16 * depth)
        self._memory.batched("the nearest tracks", len(queries), row_bytes, work)
        return best, top


def _tensor(array: Array) -> torch.Tensor:
    return torch.utils.dlpack.from_dlpack(cp.ascontiguousarray(array, dtype=cp.float32))


def members(labels: Array, k: int) -> Csr:
    """The points of each label [k, points], each once."""
    n = len(labels)
    return csr(labels, cp.arange(n), cp.ones(n, dtype=cp.float32), (k, n))


def kmeans(points: Array, k: int, *, iterations: int, seed: int) -> Array:
    """Centroids [k, d] by cuML's k-means, from its scalable k-means++ start (k-means||).

    cuML does not promise to repeat itself bit by bit with the same seed.
    """
    from cuml.cluster import KMeans

    model = KMeans(
        n_clusters=k,
        max_iter=iterations,
        tol=0.0,
        random_state=seed,
        init="scalable-k-means++",
        n_init=1,
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
