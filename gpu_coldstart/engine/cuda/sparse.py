"""Sparse matrices on the GPU: from triplets, transposed, multiplied, rows taken.

Sums of equal places go through our own kernel: cuDF's groupby and CuPy's ``sum_duplicates`` add
floating-point numbers atomically, in an order that changes from run to run. Whole numbers, which
cuDF would count exactly, go the same way: it was faster on an H100 (docs/gpu-status.md).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cupy as cp
from cupyx.scipy import sparse

from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.engine.cuda.kernels import Kernel, kernel
from gpu_coldstart.engine.cuda.memory import Memory

__all__ = [
    "csr",
    "offsets",
    "pooling",
    "product",
    "row_numbers",
    "take_rows",
    "to_cupyx",
    "transpose",
]

_MOST_ENTRIES = 2**31 - 1
"""cuSPARSE takes 32-bit offsets by way of CuPy."""

_LEAST_PER_LANE, _MOST_PER_LANE = 4, 8
"""Columns that a lane of ``pool.cu`` sums; each number is a kernel of its own to be compiled."""

_PRODUCT_BYTES = 40
"""Memory cuSPARSE was seen to ask for each pair of entries it multiplies, rounded up."""


def pooling(d: int) -> tuple[Kernel, int]:
    """The kernel for weighted sums of ``d`` columns, and into how many tiles it cuts a row.

    Tiles are as equal as whole warps allow: 158 columns are one of 160, not two of 128.
    """
    tiles = max(1, -(-d // (32 * _MOST_PER_LANE)))
    return kernel("pool", PER_LANE=max(_LEAST_PER_LANE, -(-d // (32 * tiles)))), tiles


def offsets(lengths: Array) -> Array:
    """Row offsets [rows + 1] of int64 from the rows' lengths [rows]."""
    indptr = cp.zeros(len(lengths) + 1, dtype=cp.int64)
    indptr[1:] = cp.cumsum(lengths.astype(cp.int64))
    return indptr


def row_numbers(matrix: Csr) -> Array:
    """Row of each stored entry [entries] of int64."""
    places = cp.arange(matrix.nnz, dtype=cp.int64)
    return cp.searchsorted(matrix.indptr, places, side="right") - 1


def csr(rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.csr`."""
    keys = rows.astype(cp.int64) * shape[1] + columns
    order = cp.argsort(keys, kind="stable")
    keys = keys[order]
    first = cp.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    starts = cp.flatnonzero(first)
    places = keys[starts]
    sums = cp.empty(len(starts), dtype=cp.float32)
    kernel("segment_sum")(
        len(starts),
        1,
        starts=cp.append(starts, len(keys)).astype(cp.int64),
        order=order,
        values=cp.ascontiguousarray(values, dtype=cp.float32),
        sums=sums,
        n=len(starts),
    )
    bounds = cp.arange(shape[0] + 1, dtype=cp.int64) * shape[1]
    indptr = cp.searchsorted(places, bounds).astype(cp.int64)
    return Csr(indptr, (places % shape[1]).astype(cp.int32), sums, shape)


def transpose(matrix: Csr) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.transpose`."""
    order = cp.argsort(matrix.indices, kind="stable")
    lengths = cp.bincount(matrix.indices, minlength=matrix.shape[1])
    return Csr(
        offsets(lengths),
        row_numbers(matrix)[order].astype(cp.int32),
        matrix.data[order],
        matrix.shape[::-1],
    )


def take_rows(matrix: Csr, rows: Array) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.take_rows`."""
    starts = matrix.indptr[rows]
    indptr = offsets(matrix.indptr[rows + 1] - starts)
    total = int(indptr[-1])
    places = cp.arange(total, dtype=cp.int64)
    target = cp.searchsorted(indptr, places, side="right") - 1
    origin = starts[target] + places - indptr[target]
    shape = (len(rows), matrix.shape[1])
    return Csr(indptr, matrix.indices[origin], matrix.data[origin], shape)


def product(memory: Memory, left: Csr, right: Csr) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.product`; cuSPARSE, by runs of rows.

    What cuSPARSE needs grows with the pairs of entries that meet, which are counted first. It adds
    them up in an order that depends on the other rows, so in double precision: rounded afterwards,
    a row is the same in any company.
    """
    shape = (left.shape[0], right.shape[1])
    if not left.nnz or not right.nnz:
        none = cp.zeros(0, dtype=cp.int32)
        return Csr(cp.zeros(shape[0] + 1, dtype=cp.int64), none, none.astype(cp.float32), shape)
    pairs = cp.diff(right.indptr)[left.indices]
    before = cp.concatenate([cp.zeros(1, dtype=cp.int64), cp.cumsum(pairs)])[left.indptr]
    whole = to_cupyx(right, cp.float64)
    parts: list[tuple[Array, Array, Array]] = []

    def multiply(first: int, start: int, stop: int) -> None:
        product = to_cupyx(_run(left, first + start, first + stop), cp.float64) @ whole
        ordered = _in_order(
            Csr(product.indptr.astype(cp.int64), product.indices, product.data, product.shape)
        )
        parts.append((cp.diff(ordered.indptr), ordered.indices, ordered.data.astype(cp.float32)))

    start = 0
    while start < left.shape[0]:
        most = before[start] + memory.rows(_PRODUCT_BYTES)
        fits = int(cp.searchsorted(before, most[None], side="right")[0]) - 1
        stop = min(max(fits, start + 1), left.shape[0])
        row_bytes = _PRODUCT_BYTES * int(before[stop] - before[start]) // (stop - start)
        memory.batched("a sparse product", stop - start, row_bytes, partial(multiply, start))
        start = stop
    lengths, indices, data = (cp.concatenate(column) for column in zip(*parts, strict=True))
    return Csr(offsets(lengths), indices, data, shape)


def _in_order(matrix: Csr) -> Csr:
    """The matrix with ascending columns in each row, which cuSPARSE does not promise."""
    keys = row_numbers(matrix) * matrix.shape[1] + matrix.indices
    if bool((keys[1:] > keys[:-1]).all()):
        return matrix
    order = cp.argsort(keys, kind="stable")
    return Csr(matrix.indptr, matrix.indices[order], matrix.data[order], matrix.shape)


def _run(matrix: Csr, start: int, stop: int) -> Csr:
    """Rows ``start`` to ``stop``, sharing their entries."""
    low, high = int(matrix.indptr[start]), int(matrix.indptr[stop])
    return Csr(
        matrix.indptr[start : stop + 1] - low,
        matrix.indices[low:high],
        matrix.data[low:high],
        (stop - start, matrix.shape[1]),
    )


def to_cupyx(matrix: Csr, dtype: Any = cp.float32) -> sparse.csr_matrix:
    """CuPy's own sparse matrix, sharing indices, and values where they are of that type.

    Raises
    ------
    ValueError
        When the matrix has more entries than 32-bit offsets can say.
    """
    if matrix.nnz > _MOST_ENTRIES:
        raise ValueError(f"a matrix of {matrix.nnz} entries exceeds 32-bit offsets")
    indptr = matrix.indptr.astype(cp.int32)
    values = matrix.data.astype(dtype, copy=False)
    return sparse.csr_matrix((values, matrix.indices, indptr), shape=matrix.shape)
