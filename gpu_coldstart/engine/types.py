"""What engines take and return: arrays, columns, sparse matrices, results of several parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy.typing as npt

__all__ = ["Array", "Column", "Csr", "HostArray", "Kmeans", "RankMetrics", "Svd"]

Array: TypeAlias = Any
"""An array of the engine's own kind: ``numpy.ndarray`` or ``cupy.ndarray``."""

HostArray: TypeAlias = npt.NDArray[Any]
"""An array in host memory, whatever the engine."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    values : Array [rows]
        int64 for integers; int64 microseconds since 1970 (UTC) for timestamps; int32 codes into
        ``names`` for strings. What stands where ``valid`` is False means nothing.
    valid : Array [rows] of bool, or None
        False where the cell is null; None when no cell is.
    names : tuple of str
        The distinct strings of a string column, sorted; empty for other types.
    """

    values: Array
    valid: Array | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Csr:
    """A sparse matrix by rows; column indices ascend within a row and are distinct.

    Attributes
    ----------
    indptr : Array [rows + 1] of int64
    indices : Array [entries] of int32
    data : Array [entries] of float32
    shape : (rows, columns)
    """

    indptr: Array
    indices: Array
    data: Array
    shape: tuple[int, int]

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self.indices.shape[0])

    def with_data(self, data: Array) -> Csr:
        """The same places holding other values, ``data`` [entries]."""
        return Csr(self.indptr, self.indices, data, self.shape)


@dataclass(frozen=True)
class Svd:
    """Leading singular triplets: ``u`` [m, r], ``s`` [r] descending, ``vt`` [r, n], float32."""

    u: Array
    s: Array
    vt: Array


@dataclass(frozen=True)
class Kmeans:
    """A k-means result.

    Attributes
    ----------
    centroids : Array [k, d] of float32
        The mean of each segment's members.
    labels : Array [n] of int32
        Every one of the k labels occurs.
    inertia : float
        Sum over points of the squared distance to their segment's centroid.
    """

    centroids: Array
    labels: Array
    inertia: float


@dataclass(frozen=True)
class RankMetrics:
    """Per-user precision, recall and NDCG, each a list (one for every K) of Array [users]."""

    ks: tuple[int, ...]
    precision: list[Array] = field(default_factory=list)
    recall: list[Array] = field(default_factory=list)
    ndcg: list[Array] = field(default_factory=list)
