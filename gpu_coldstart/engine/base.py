"""The contract between the method and the processor it runs on.

Everything above :mod:`gpu_coldstart.engine` is written against :class:`Engine` alone. An engine
takes and returns arrays of its own kind (NumPy on the CPU, CuPy on a GPU); code above it may use
the array namespace ``engine.xp`` for elementwise work, and never asks which processor it is on.

Two conventions hold everywhere:

* Tracks are numbered by popularity, the most popular first and equals by smaller id. The one tie
  rule of the project (higher score, then more popular, then smaller id) is therefore "higher
  score, then smaller index" in every primitive.
* Indices are int32, row offsets int64, embeddings and scores float32.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_coldstart import profiling
from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine import networks
from gpu_coldstart.engine.processor import Processor
from gpu_coldstart.engine.types import (
    AlsOptions,
    Array,
    Column,
    Csr,
    Feedforward,
    HostArray,
    Kmeans,
    KmeansOptions,
    PmiOptions,
    RankMetrics,
    Step,
    Svd,
    SvdOptions,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = [
    "AlsOptions",
    "Array",
    "Column",
    "Csr",
    "Engine",
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


class Engine(Processor):
    """What a processor must be able to do for the whole flow to run on it."""

    def __init_subclass__(cls) -> None:
        """Put a profiler's range around every primitive."""
        for name in Engine.__abstractmethods__ & vars(cls).keys():
            setattr(cls, name, profiling.annotated(getattr(cls, name), name))

    def feed_forward(self, network: Feedforward, vectors: Array) -> Array:
        """What a network makes of vectors.

        Summed in double precision and rounded, so that libraries that add up in another order come
        to the same, but where a number lies between two of float32 within their errors. A row's
        result has the same bits alone as among any others.

        Parameters
        ----------
        vectors : Array [n, inputs] of float32

        Returns
        -------
        Array [n, outputs] of float32
        """
        return networks.fed_forward(self.xp, network, vectors, self.users_at_once)

    def by_batches(
        self, n: int, make: Callable[[slice], tuple[Array, ...]], *, size: int
    ) -> tuple[Array, ...]:
        """:func:`gpu_coldstart.batches.by_batches`, maybe several batches at a time."""
        return by_batches(self.xp, n, make, size=size)

    # -- moving data ---------------------------------------------------------------------------

    @abstractmethod
    def asarray(self, host: HostArray) -> Array:
        """Host array to an array of this engine (no copy where it already is one)."""

    @abstractmethod
    def to_host(self, array: Array) -> HostArray:
        """Array of this engine to the host, to be reported or saved."""

    @abstractmethod
    def to_torch(self, array: Array) -> torch.Tensor:
        """Share an array with PyTorch, without a copy, on this engine's device."""

    @abstractmethod
    def from_torch(self, tensor: torch.Tensor) -> Array:
        """Share a tensor on this engine's device with the engine, without a copy."""

    @abstractmethod
    def read(self, source: Path | pa.Table, columns: Sequence[str]) -> dict[str, Column]:
        """Load named columns of a Parquet file or an Arrow table.

        The caller has checked that the columns exist and have a supported type.

        Raises
        ------
        gpu_coldstart.errors.UserError
            When the file's pages are damaged, naming the file.
        """

    # -- events to matrices --------------------------------------------------------------------

    @abstractmethod
    def lookup(self, ids: Array, keys: Array) -> Array:
        """Position of each of ``ids`` in the ascending, distinct ``keys``; -1 where absent.

        Parameters
        ----------
        ids : Array [n] of int64
        keys : Array [m] of int64

        Returns
        -------
        Array [n] of int32
        """

    @abstractmethod
    def csr(self, rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> Csr:
        """Sparse matrix from triplets in any order; values of the same place are added.

        Parameters
        ----------
        rows, columns : Array [n] of integers
        values : Array [n] of float32
        shape : (rows, columns)
        """

    @abstractmethod
    def transpose(self, matrix: Csr) -> Csr:
        """The transposed matrix."""

    @abstractmethod
    def product(self, left: Csr, right: Csr) -> Csr:
        """Sparse times sparse."""

    @abstractmethod
    def take_rows(self, matrix: Csr, rows: Array) -> Csr:
        """The given rows, in the given order (repeats allowed)."""

    @abstractmethod
    def segment_counts(self, labels: Array, matrix: Csr, k: int) -> Csr:
        """In how many rows of each segment a column occurs.

        Parameters
        ----------
        labels : Array [rows] of int32
            Segment of each row, below ``k``.
        matrix : Csr [rows, columns]
            Values do not matter.

        Returns
        -------
        Csr [k, columns]
        """

    @abstractmethod
    def row_top(self, matrix: Csr, depth: int) -> tuple[Array, Array]:
        """The ``depth`` largest positive entries of each row, best first.

        Equal values: smaller column first. A row with fewer entries is filled with the smallest
        columns it does not hold, at value 0, so that a row always names ``depth`` distinct
        columns.

        Returns
        -------
        columns : Array [rows, depth] of int32
        values : Array [rows, depth] of float32

        Raises
        ------
        ValueError
            When ``depth`` exceeds the number of columns.
        """

    # -- embedding spaces ----------------------------------------------------------------------

    @abstractmethod
    def pmi(self, counts: Csr, options: PmiOptions) -> Csr:
        """Positive pointwise mutual information of a symmetric co-occurrence matrix.

        ``max(log(n_ij * N / (n_i * n_j^a)) - log(shift), 0)``, where ``n_i`` is a row's sum,
        ``N`` the sum of ``n_j^a`` and ``a`` the context smoothing (Levy & Goldberg 2014; Levy,
        Goldberg & Dagan 2015). Places with a count below ``min_count`` or a value of 0 are not
        stored; the sums are taken over what passes ``min_count``.

        Parameters
        ----------
        counts : Csr [n, n], symmetric, zero diagonal
        options : PmiOptions
        """

    @abstractmethod
    def svd(self, matrix: Csr, options: SvdOptions) -> Svd:
        """Truncated singular value decomposition by a randomised range finder, never made dense.

        Signs are fixed: the entry of largest magnitude of each left vector is positive.
        """

    @abstractmethod
    def als(
        self, affinity: Csr, options: AlsOptions, progress: Callable[[int, float], None]
    ) -> tuple[Array, Array]:
        """Weighted matrix factorisation of implicit feedback (Hu, Koren & Volinsky 2008).

        Minimises ``sum_ui c_ui (p_ui - x_u.y_i)^2 + l (sum|x|^2 + sum|y|^2)`` over all cells,
        with ``p = 1`` and ``c = 1 + confidence * affinity`` where the affinity is positive and
        ``p = 0, c = 1`` elsewhere, by alternating conjugate-gradient steps (Takács, Pilászy &
        Tikk 2011).

        Parameters
        ----------
        affinity : Csr [users, tracks]
            Positive entries.
        options : AlsOptions
        progress : callable (iteration, loss)
            Called after each iteration, from 0, with the objective divided by the number of cells.

        Returns
        -------
        users : Array [users, factors] of float32
        tracks : Array [tracks, factors] of float32
        """

    @abstractmethod
    def pool(
        self,
        weights: Csr,
        embeddings: Array,
        *,
        rows: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        """Weighted mean of embedding rows for each row of ``weights``; null for an empty row.

        Parameters
        ----------
        weights : Csr [n, m], entries > 0
        embeddings : Array [m, d] of float32
        rows : Array [r] of int64, or None
            Which rows of ``weights``, repeats allowed; None is all of them in order.
        out : Array [r / g, g * d] of float32, or None
            Where to write: a block of columns of a wider matrix, or any view whose rows are
            contiguous. Each of its rows takes ``g`` means, one after the other.

        Returns
        -------
        Array
            ``out``, or a new array [r, d] of float32.
        """

    @abstractmethod
    def kmeans(self, points: Array, options: KmeansOptions) -> Kmeans:
        """Lloyd's k-means from k-means++ starts, with no empty segment.

        Parameters
        ----------
        points : Array [n, d] of float32, n at least ``options.k``
        options : KmeansOptions
        """

    # -- recommending --------------------------------------------------------------------------

    @abstractmethod
    def nearest(self, points: Array, centroids: Array, n: int) -> tuple[Array, Array]:
        """The ``n`` Euclidean-nearest centroids of each point, nearest first.

        A point's result has the same bits alone as among any others: distances are summed pair by
        pair in double precision, and ties go to the smaller label.

        Returns
        -------
        labels : Array [points, n] of int32
        distances : Array [points, n] of float32
            Euclidean, not squared.
        """

    def longest(self, items: Array) -> float:
        """Length of the longest of ``items`` [m, d] of float32, for :meth:`top_k`."""
        return float(self.xp.linalg.norm(items, axis=1).max())

    @abstractmethod
    def top_k(
        self, queries: Array, items: Array, k: int, *, longest: float | None = None
    ) -> tuple[Array, Array]:
        """The ``k`` items of largest inner product with each query, best first.

        A query's result has the same bits alone as among any others: scores are summed pair by
        pair in double precision, rounded to what is returned, and ties go to the smaller index.

        Parameters
        ----------
        queries : Array [n, d] of float32
        items : Array [m, d] of float32, k <= m
        longest : float
            What :meth:`longest` says of the items, for those who ask again and again: to find it
            takes as long as to look for one query's.

        Returns
        -------
        items : Array [n, k] of int32
        scores : Array [n, k] of float32
        """

    @abstractmethod
    def soft_allocate(
        self, segments: Array, weights: Array, shares: Csr, k: int, overshoot: int
    ) -> tuple[Array, Array]:
        """Share ``k`` places among several segments by weight (soft allocation).

        A user's ``k + overshoot`` slots are divided in proportion to the weights, by largest
        remainder (equal remainders: heavier segment first). The segments' favourites are taken in
        order of weight, a track once, until ``k`` are there; if too few, the rest comes from the
        blended ranking. The list is ordered by the blended score ``sum_c w_c * share_c(track)``.

        Parameters
        ----------
        segments : Array [n, s] of int32
            Each user's segments, heaviest first.
        weights : Array [n, s] of float32
            Positive, each row sums to 1, descending.
        shares : Csr [segments, tracks]
            Popularity of each track in each segment.

        Returns
        -------
        tracks : Array [n, k] of int32
        scores : Array [n, k] of float32
        """

    @abstractmethod
    def drop_seen(self, tracks: Array, scores: Array, seen: Csr, k: int) -> tuple[Array, Array]:
        """The first ``k`` of each ranked list that the user has not seen.

        Parameters
        ----------
        tracks, scores : Array [n, m]
            ``m`` is at least ``k`` plus the longest row of ``seen``.
        seen : Csr [n, tracks]
        """

    @abstractmethod
    def rank_metrics(self, tracks: Array, truth: Csr, ks: Sequence[int]) -> RankMetrics:
        """Precision, recall and NDCG of ranked lists at several lengths.

        Precision divides by ``min(K, |truth|)``, recall by ``|truth|``; NDCG is binary with a
        log2 discount and the ideal over ``min(K, |truth|)`` (facts of the released code). All are
        within [0, 1] exactly. Each user's truth must hold at least one track.

        Parameters
        ----------
        tracks : Array [n, m] of int32, distinct within a row, m >= max(ks)
        truth : Csr [n, tracks]
        """
