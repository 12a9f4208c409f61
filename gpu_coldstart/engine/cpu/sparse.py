"""Sparse matrices on the CPU: between the engine's and SciPy's, and products with dense ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.jit import add_scaled, compiled_strictly
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["from_scipy", "pool", "product", "to_scipy"]

_ROWS, _FEW_ROWS = 1 << 11, 1 << 9
"""Rows that a thread takes at once; few where the popular ones, which come first, are longest."""


def to_scipy(matrix: Csr) -> sp.csr_array:
    """View a matrix as SciPy's, sharing its arrays where SciPy can hold them."""
    if matrix.nnz < np.iinfo(np.int32).max:
        indptr = matrix.indptr.astype(np.int32)
    else:
        indptr = matrix.indptr
    return sp.csr_array((matrix.data, matrix.indices, indptr), shape=matrix.shape)


def from_scipy(matrix: sp.csr_array) -> Csr:
    """Take over a SciPy matrix: sorted int32 columns, int64 offsets, float32 values."""
    matrix.sort_indices()
    return Csr(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
        matrix.shape,
    )


def product(matrix: sp.csr_array, dense: HostArray) -> HostArray:
    """Sparse times dense [columns, d] of float32, on several threads.

    Each row is summed by one thread in the order of its entries, as SciPy does it on one.
    """
    entries = matrix.indptr, matrix.indices, matrix.data
    dense = np.ascontiguousarray(dense)
    out = np.empty((matrix.shape[0], dense.shape[1]), np.float32)

    def work(start: int, stop: int) -> None:
        _multiply_rows(entries, dense, out, (start, stop))

    over_rows(len(out), _FEW_ROWS, work)
    return out


@compiled_strictly
def _multiply_rows(
    entries: tuple[HostArray, HostArray, HostArray],
    dense: HostArray,
    out: HostArray,
    rows: tuple[int, int],
) -> None:
    """Fill the ``rows`` (first, end) of ``out``."""
    indptr, indices, values = entries
    for row in range(rows[0], rows[1]):
        total = out[row]
        total[:] = np.float32(0)
        for entry in range(indptr[row], indptr[row + 1]):
            add_scaled(values[entry], dense[indices[entry]], total)


def pool(weights: Csr, embeddings: HostArray, rows: HostArray | None, out: HostArray) -> None:
    """See :meth:`gpu_coldstart.engine.base.Engine.pool`; the twin of ``kernels/pool.cu``."""
    if rows is None:
        rows = np.arange(weights.shape[0])
    each = len(rows) // max(1, len(out))
    entries = weights.indptr, weights.indices, weights.data
    embeddings = np.ascontiguousarray(embeddings, np.float32)

    def work(start: int, stop: int) -> None:
        some = out[start:stop]
        stride = some.strides[0] // some.itemsize
        # As one run of memory, with what lies between the rows: compiled loops over rows of a
        # view would not know that these are contiguous.
        length = (len(some) - 1) * stride + some.shape[1]
        flat = np.lib.stride_tricks.as_strided(some, (length,), (some.itemsize,))
        _pool_rows(entries, rows[each * start : each * stop], embeddings, flat, (each, stride))

    over_rows(len(out), max(1, _ROWS // max(1, each)), work)


@compiled_strictly
def _pool_rows(
    entries: tuple[HostArray, HostArray, HostArray],
    rows: HostArray,
    embeddings: HostArray,
    out: HostArray,
    layout: tuple[int, int],
) -> None:
    """Write means to ``out``, of which each ``stride`` numbers take ``each`` means."""
    indptr, indices, weights = entries
    each, stride = layout
    d = embeddings.shape[1]
    for i in range(len(rows)):
        first, end = indptr[rows[i]], indptr[rows[i] + 1]
        start = i // each * stride + i % each * d
        mean = out[start : start + d]
        for j in range(d):
            mean[j] = np.float32(0)
        total = np.float32(0)
        for entry in range(first, end):
            total += weights[entry]
        for entry in range(first, end):
            add_scaled(weights[entry] / total, embeddings[indices[entry]], mean)
