"""Embedding spaces on the GPU: PMI, truncated sparse SVD, weighted ALS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import cupy as cp
from cupyx.scipy import linalg

from gpu_coldstart.engine.base import AlsOptions, Array, Csr, PmiOptions, Svd, SvdOptions
from gpu_coldstart.engine.cuda.kernels import BLOCK, kernel
from gpu_coldstart.engine.cuda.memory import Memory
from gpu_coldstart.engine.cuda.sparse import offsets, pooling, transpose
from gpu_coldstart.errors import EngineLimitError

__all__ = ["als", "pmi", "svd"]

_MOST_FACTORS = 512
"""A warp holds a vector of so many factors in its registers, and three of them."""

_NEARLY = 1e-3
"""So near to the unit matrix must the columns' products come in CholeskyQR2's first pass."""

_ARRIVED = 1e-20
"""Squared residual at which a row's conjugate gradients stop."""


def pmi(counts: Csr, options: PmiOptions) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.pmi`."""
    n = counts.shape[0]
    totals = cp.empty(n, dtype=cp.float64)
    common = {
        "indptr": counts.indptr,
        "counts": counts.data,
        "n": n,
        "min_count": options.min_count,
    }
    kernel("pmi", "pmi_totals")(n, 32, totals=totals, **common)
    contexts = totals**options.smoothing
    # A row without counts has the logarithm -inf, and no entry that would read it.
    common |= {
        "indices": counts.indices,
        "row_logs": cp.log(totals),
        "column_logs": cp.log(contexts),
        "offset": float(cp.log(contexts.sum() / options.shift)),
    }
    kept = cp.empty(n, dtype=cp.int64)
    kernel("pmi", "pmi_count")(n, 32, kept=kept, **common)
    indptr = offsets(kept)
    total = int(indptr[-1])
    indices = cp.empty(total, dtype=cp.int32)
    values = cp.empty(total, dtype=cp.float32)
    kernel("pmi", "pmi_write")(
        n, 32, out_indptr=indptr, out_indices=indices, out_values=values, **common
    )
    return Csr(indptr, indices, values, counts.shape)


def svd(matrix: Csr, options: SvdOptions) -> Svd:
    """See :meth:`gpu_coldstart.engine.base.Engine.svd`.

    The randomised range finder of Halko, Martinsson & Tropp (2011, algorithms 4.4 and 5.1) on our
    own sparse product and CholeskyQR2. cuML's TruncatedSVD is for dense matrices only, and
    pylibraft has one for sparse matrices in only some of the versions that the extras install.
    """
    across = transpose(matrix)
    rank = options.rank
    width = min(rank + options.oversamples, *matrix.shape)
    random = cp.random.default_rng(options.seed)
    range_ = _times(matrix, random.standard_normal((matrix.shape[1], width), dtype=cp.float32))
    for _ in range(options.power_iterations):
        half = _times(across, _qr(range_)[0])
        range_ = _times(matrix, _qr(half)[0])
    basis = _qr(range_)[0]
    # The small matrix basis^T M is wide; its transpose's QR leaves a square to decompose.
    right, square = _qr(_times(across, basis))
    u, s, vt = cp.linalg.svd(square.T, full_matrices=False)
    u, vt = basis @ u[:, :rank], vt[:rank] @ right.T
    largest = cp.take_along_axis(u, cp.abs(u).argmax(axis=0)[None, :], axis=0)
    signs = cp.where(largest < 0, cp.float32(-1), cp.float32(1))
    return Svd(cp.ascontiguousarray(u * signs), s[:rank].copy(), cp.ascontiguousarray(vt * signs.T))


def _qr(table: Array) -> tuple[Array, Array]:
    """Orthonormal columns [rows, d], and the triangle [d, d] that gives the table back.

    CholeskyQR2 (Yamamoto et al. 2015), in double precision as its first pass squares the condition:
    a few products of matrices where Householder's method makes a launch for every few columns.
    That method does it where the condition is too bad, as it is of tables short of rank.
    """
    q = table.astype(cp.float64)
    one = r = cp.eye(table.shape[1])
    for again in (False, True):
        gram = q.T @ q
        # CuPy does not tell of a decomposition that fails, but what comes of it is not orthonormal.
        if again and not bool(cp.abs(gram - one).max() < _NEARLY):
            return cast("tuple[Array, Array]", cp.linalg.qr(table))
        factor = cp.linalg.cholesky(gram)
        q = linalg.solve_triangular(factor, q.T, lower=True).T
        r = factor.T @ r
    return q.astype(cp.float32), r.astype(cp.float32)


def _times(matrix: Csr, dense: Array) -> Array:
    """Sparse times dense [columns, d], each row summed in one order."""
    n, d = matrix.shape[0], int(dense.shape[1])
    out = cp.empty((n, d), dtype=cp.float32)
    pool, tiles = pooling(d)
    pool(
        n * tiles,
        BLOCK,
        rows=cp.arange(n, dtype=cp.int64),
        indptr=matrix.indptr,
        indices=matrix.indices,
        weights=matrix.data,
        embeddings=cp.ascontiguousarray(dense),
        out=out,
        n=n,
        d=d,
        group=1,
        stride=d,
        mean=0,
    )
    return out


def als(
    memory: Memory,
    affinity: Csr,
    options: AlsOptions,
    progress: Callable[[int, float], None],
) -> tuple[Array, Array]:
    """See :meth:`gpu_coldstart.engine.base.Engine.als`; both sides start small and positive."""
    factors = options.factors
    if factors > _MOST_FACTORS:
        raise EngineLimitError("factors", factors, _MOST_FACTORS)
    by_user = affinity.with_data(1.0 + cp.float32(options.confidence) * affinity.data)
    by_track = transpose(by_user)
    random = cp.random.default_rng(options.seed)
    users, tracks = (
        random.random((n, factors), dtype=cp.float32) * cp.float32(0.01) for n in affinity.shape
    )
    side = _Side(memory, options)
    cells = affinity.shape[0] * affinity.shape[1]
    for iteration in range(options.iterations):
        side.solve(by_user, users, tracks)
        side.solve(by_track, tracks, users)
        progress(iteration, side.loss(by_user, users, tracks) / cells)
    return users, tracks


class _Side:
    """One alternation: the rows of one side, the other held still."""

    def __init__(self, memory: Memory, options: AlsOptions):
        self._memory = memory
        self._factors = options.factors
        self._regularization = options.regularization
        self._cg_steps = options.cg_steps
        macros = {"PER_LANE": -(-options.factors // 32)}
        self._begin = kernel("als", "als_begin", **macros)
        self._step = kernel("als", "als_step", **macros)
        self._loss = kernel("als", "als_loss", **macros)

    def solve(self, matrix: Csr, x: Array, fixed: Array) -> None:
        """Move ``x`` [rows, d] towards the solution of its normal equations."""
        gram = fixed.T @ fixed
        gram += cp.float32(self._regularization) * cp.eye(self._factors, dtype=cp.float32)

        def work(start: int, stop: int) -> None:
            self._solve_rows(_rows(matrix, start, stop), x[start:stop], fixed, gram)

        self._memory.batched("ALS", matrix.shape[0], 4 * 4 * self._factors, work)

    def _solve_rows(self, matrix: dict[str, Any], x: Array, fixed: Array, gram: Array) -> None:
        # All memory is taken before x changes, so that a lack of it can be met by trying again.
        n = len(x)
        residual, direction = cp.empty_like(x), cp.empty_like(x)
        product = x @ gram
        common = matrix | {
            "factors": fixed,
            "x": x,
            "residual": residual,
            "direction": direction,
            "squares": cp.empty(n, dtype=cp.float32),
            "n": n,
            "d": self._factors,
        }
        self._begin(n, BLOCK, product=product, **common)
        for _ in range(self._cg_steps):
            cp.matmul(direction, gram, out=product)
            self._step(n, BLOCK, product=product, arrived=_ARRIVED, **common)

    def loss(self, matrix: Csr, x: Array, fixed: Array) -> float:
        """The objective summed over all cells, and the regularisation."""
        gram = fixed.T @ fixed
        losses = cp.empty(matrix.shape[0], dtype=cp.float64)

        def work(start: int, stop: int) -> None:
            rows = x[start:stop]
            self._loss(
                len(rows),
                BLOCK,
                **_rows(matrix, start, stop),
                factors=fixed,
                x=rows,
                product=rows @ gram,
                loss=losses[start:stop],
                n=len(rows),
                d=self._factors,
            )

        self._memory.batched("ALS", matrix.shape[0], 4 * self._factors, work)
        squares = (x * x).sum(dtype=cp.float64) + (fixed * fixed).sum(dtype=cp.float64)
        return float(losses.sum() + self._regularization * squares)


def _rows(matrix: Csr, start: int, stop: int) -> dict[str, Any]:
    """Kernel arguments for some rows; their offsets count from the matrix's first entry."""
    return {
        "indptr": matrix.indptr[start : stop + 1],
        "indices": matrix.indices,
        "confidence": matrix.data,
    }
