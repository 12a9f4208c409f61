"""Sparse matrices on the CPU: between the engine's and SciPy's, and products with dense ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr, HostArray
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


def pool(weights: Csr, embeddings: HostArray, out: HostArray) -> None:
    """See :meth:`gpu_coldstart.engine.base.Engine.pool`."""
    lengths = np.diff(weights.indptr)
    totals = np.add.reduceat(
        np.append(weights.data, np.float32(0)), weights.indptr[:-1], dtype=np.float32
    )
    totals[lengths == 0] = 1.0
    shares = to_scipy(weights.with_data(weights.data / np.repeat(totals, lengths)))
    each = weights.shape[0] // max(1, len(out))

    def work(start: int, stop: int) -> None:
        means = _rows(shares, each * start, each * stop) @ embeddings
        out[start:stop] = means.reshape(stop - start, out.shape[1])

    over_rows(len(out), max(1, _ROWS // max(1, each)), work)


def _rows(matrix: sp.csr_array, start: int, stop: int) -> sp.csr_array:
    """A view of some rows; slicing would copy them."""
    low, high = matrix.indptr[start], matrix.indptr[stop]
    parts = (matrix.data[low:high], matrix.indices[low:high], matrix.indptr[start : stop + 1] - low)
    return sp.csr_array(parts, shape=(stop - start, matrix.shape[1]))
