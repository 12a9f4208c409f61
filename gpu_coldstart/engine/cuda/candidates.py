"""The nearest items by a library's own sums: of faiss-gpu, or of PyTorch on cards faiss has left.

:class:`gpu_coldstart.engine.cuda.geometry.Search` settles exactly what they find.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import torch

from gpu_coldstart.engine.cuda.memory import Memory

__all__ = ["Faiss", "Products", "Source"]

_WORKSPACE = 256 << 20
"""Bytes of temporary memory for faiss; its builds with cuVS take it from the common pool."""

Found: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class Source(Protocol):
    """What finds candidates.

    Attributes
    ----------
    pair_bytes : int
        Bytes that it takes from the pool for each pair of a query and an item.
    """

    pair_bytes: int

    def __call__(
        self, queries: torch.Tensor, items: torch.Tensor, n: int, *, distances: bool
    ) -> Found:
        """The best ``n`` items of each query, in any order.

        No item left out has a better value than one returned, and no value is further from the
        exact one than :func:`gpu_coldstart.engine.settle.best_of` allows for.

        Parameters
        ----------
        queries : Tensor [q, d] of float32
        items : Tensor [m, d] of float32
        n : int
            ``m`` at most.
        distances : bool
            Smallest Euclidean distance; else largest inner product.

        Returns
        -------
        values : Tensor [q, n] of float32
            Squared distances, but for the same number for all items; or inner products.
        items : Tensor [q, n] of int64
        """


class Faiss:
    """By faiss-gpu."""

    pair_bytes = 0  # it has a workspace

    def __init__(self, memory: Memory) -> None:
        import faiss
        import faiss.contrib.torch_utils  # noqa: F401 - lets faiss take tensors

        self._faiss: Any = faiss
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(min(_WORKSPACE, memory.pool // 8))
        self._resources.setPinnedMemory(0)  # nothing comes from the host or goes there

    def __call__(
        self, queries: torch.Tensor, items: torch.Tensor, n: int, *, distances: bool
    ) -> Found:
        metric = self._faiss.METRIC_L2 if distances else self._faiss.METRIC_INNER_PRODUCT
        found: Found = self._faiss.knn_gpu(self._resources, queries, items, n, metric=metric)
        return found


class Products:
    """By products and a selection of PyTorch's; CuPy's would sort.

    Cards without faiss-gpu know no TF32, which would round more than is allowed for.
    """

    pair_bytes = 4

    def __call__(
        self, queries: torch.Tensor, items: torch.Tensor, n: int, *, distances: bool
    ) -> Found:
        if distances:
            scores = torch.addmm(items.square().sum(dim=1), queries, items.T, alpha=-2)
        else:
            scores = queries @ items.T
        return torch.topk(scores, n, dim=1, largest=not distances, sorted=False)
