"""What engines take and return: arrays, columns, sparse matrices, options, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = [
    "AlsOptions",
    "Array",
    "Column",
    "Csr",
    "Dense",
    "Feedforward",
    "HostArray",
    "Kmeans",
    "KmeansOptions",
    "PmiOptions",
    "RankMetrics",
    "Step",
    "Svd",
    "SvdOptions",
]

Array: TypeAlias = Any
"""An array of the engine's own kind: ``numpy.ndarray`` or ``cupy.ndarray``."""

HostArray: TypeAlias = npt.NDArray[Any]
"""An array in host memory, whatever the engine."""

Step: TypeAlias = "Callable[[torch.Tensor], None]"
"""One step of training, on the users at some places."""


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


@dataclass(frozen=True, eq=False)
class Dense:
    """A layer of a network: ``x weights + offset``.

    Attributes
    ----------
    weights : Array [inputs, outputs] of float32
    offset : Array [outputs] of float32
    """

    weights: Array
    offset: Array

    @cached_property
    def doubled(self) -> tuple[Array, Array]:
        """Weights and offset in double precision."""
        return self.weights.astype("float64"), self.offset.astype("float64")


@dataclass(frozen=True, eq=False)
class Feedforward:
    """A network that has learned: what it computes, and nothing of how it was trained.

    Attributes
    ----------
    layers : tuple of Dense
    output : {"plain", "unit", "softmax"}
        What becomes of the last layer's numbers: nothing, a vector of length 1, or a softmax.
    groups : tuple of int
        Of a softmax: how many numbers each is over, one softmax after the other. All together they
        add up to 1.
    hidden : {"relu", "tanh"}
        What is between each two layers: a rectifier ``max(x, 0)``, or the hyperbolic tangent.
    """

    layers: tuple[Dense, ...]
    output: str = "plain"
    groups: tuple[int, ...] = ()
    hidden: str = "relu"

    @property
    def inputs(self) -> int:
        """Width of the vectors that it takes."""
        return int(self.layers[0].weights.shape[0])

    @property
    def outputs(self) -> int:
        """Width of the vectors that it makes."""
        return int(self.layers[-1].weights.shape[1])


@dataclass(frozen=True, kw_only=True)
class PmiOptions:
    """Options of :meth:`~gpu_coldstart.engine.base.Engine.pmi`.

    Attributes
    ----------
    shift : float
        Number of negative samples k of the shifted PMI; 1 is no shift.
    smoothing : float
        Exponent a on the context counts; 1 is none.
    min_count : float
        Rarer pairs are left out.
    """

    shift: float = 1.0
    smoothing: float = 1.0
    min_count: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SvdOptions:
    """Options of :meth:`~gpu_coldstart.engine.base.Engine.svd`.

    Attributes
    ----------
    rank : int
        Singular triplets wanted.
    oversamples : int
        Further random directions in which the range is looked for.
    power_iterations : int
        Passes over the matrix and its transpose that sharpen the range.
    seed : int
    """

    rank: int
    oversamples: int
    power_iterations: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class AlsOptions:
    """Options of :meth:`~gpu_coldstart.engine.base.Engine.als`.

    Attributes
    ----------
    factors : int
        Dimension d of both sides.
    iterations : int
        Alternations: users, then tracks.
    regularization : float
        The l of the objective.
    confidence : float
        Confidence of a cell is ``1 + confidence * affinity``.
    cg_steps : int
        Conjugate-gradient steps for each row in each alternation.
    seed : int
        Of the initial factors.
    """

    factors: int
    iterations: int
    regularization: float
    confidence: float
    cg_steps: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class KmeansOptions:
    """Options of :meth:`~gpu_coldstart.engine.base.Engine.kmeans`.

    Attributes
    ----------
    k : int
        Segments, at most as many as points.
    iterations : int
        Lloyd iterations, at most. The CPU engine stops once one lowers the inertia by less than
        0.05 %, cuML once nothing moves, or once its inertia, in single precision, rises; our
        own on Blackwell GPUs once one does not lower the inertia.
    seed : int
    restarts : int
        Independent random starts; the one of least inertia is kept, the first of equals. (One
        more never makes the inertia larger on the CPU; cuML compares by its own inertia, in
        single precision.)
    seeding_points : int
        k-means++ chooses the start among at most so many points a segment; 0 is among all. cuML
        takes any other number for k-means||, which looks at all points in a few passes.
    """

    k: int
    iterations: int
    seed: int
    restarts: int = 1
    seeding_points: int = 20


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
