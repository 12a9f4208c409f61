"""Sparse matrices on the CPU: between the engine's and SciPy's, and products with dense ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu_jit import add_scaled, compiled_strictly
from gpu_coldstart.engine.cpu_threads import over_rows

__all__ = ["from_scipy", "pool", "product", "to_scipy"]

_ROWS = 1 << 11
"""Rows multiplied at once: few enough to share out evenly, though popular rows are the longest."""


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
    """Sparse times dense [columns, d], on several threads.

    Each row is summed by one thread in the order of its entries, as SciPy does it on one.
    """
    out = np.empty((matrix.shape[0], dense.shape[1]), np.result_type(matrix, dense))

    def work(start: int, stop: int) -> None:
        out[start:stop] = _rows(matrix, start, stop) @ dense

    over_rows(len(out), _ROWS, work)
    return out


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


def _rows(matrix: sp.csr_array, start: int, stop: int) -> sp.csr_array:
    """A view of some rows; slicing would copy them."""
    low, high = matrix.indptr[start], matrix.indptr[stop]
    parts = (matrix.data[low:high], matrix.indices[low:high], matrix.indptr[start : stop + 1] - low)
    return sp.csr_array(parts, shape=(stop - start, matrix.shape[1]))
