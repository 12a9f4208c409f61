"""Sparse matrices on the CPU: between the engine's and SciPy's, and pooling by their rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.small import small
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["from_scipy", "pool", "take_rows", "to_scipy"]

_ROWS = 1 << 11
"""Rows that a thread takes at once."""


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


def take_rows(matrix: Csr, rows: HostArray) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.take_rows`.

    SciPy is faster at many entries, but takes a tenth of a millisecond for any, and makes 32-bit
    offsets of all rows of the matrix first.
    """
    first = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - first
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    shape = (len(rows), matrix.shape[1])
    if not small(int(indptr[-1])):
        return from_scipy(to_scipy(matrix)[rows])
    places = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], lengths)
    return Csr(indptr, matrix.indices[places], matrix.data[places], shape)


def pool(weights: Csr, embeddings: HostArray, rows: HostArray | None, out: HostArray) -> None:
    """See :meth:`gpu_coldstart.engine.base.Engine.pool`; the twin of ``kernels/pool.cu``."""
    if rows is None:
        rows = np.arange(weights.shape[0])
    embeddings = np.ascontiguousarray(embeddings, np.float32)
    lengths = weights.indptr[rows + 1] - weights.indptr[rows]
    if small(int(lengths.sum()) * embeddings.shape[1]):
        _pool_few(weights, embeddings, rows, out)
        return
    from gpu_coldstart.engine.cpu.products import pool_rows

    each = len(rows) // max(1, len(out))
    entries = weights.indptr, weights.indices, weights.data

    def work(start: int, stop: int) -> None:
        some = out[start:stop]
        stride = some.strides[0] // some.itemsize
        # As one run of memory, with what lies between the rows: compiled loops over rows of a
        # view would not know that these are contiguous.
        length = (len(some) - 1) * stride + some.shape[1]
        flat = np.lib.stride_tricks.as_strided(some, (length,), (some.itemsize,))
        pool_rows(entries, rows[each * start : each * stop], embeddings, flat, (each, stride))

    over_rows(len(out), max(1, _ROWS // max(1, each)), work)


def _pool_few(weights: Csr, embeddings: HostArray, rows: HostArray, out: HostArray) -> None:
    """The same bits as the compiled loop: a row's entries one after the other, all rows abreast."""
    d = embeddings.shape[1]
    first, lengths = weights.indptr[rows], weights.indptr[rows + 1] - weights.indptr[rows]
    steps = range(int(lengths.max(initial=0)))
    longest_first = np.argsort(-lengths, kind="stable")
    first, lengths = first[longest_first], lengths[longest_first]
    held = [int(np.searchsorted(-lengths, -step)) for step in steps]
    totals = np.zeros(len(rows), np.float32)
    for step, n in zip(steps, held, strict=True):
        totals[:n] += weights.data[first[:n] + step]
    means = np.zeros((len(rows), d), np.float32)
    for step, n in zip(steps, held, strict=True):
        entries = first[:n] + step
        shares = weights.data[entries] / totals[:n]
        means[:n] += shares[:, None] * embeddings[weights.indices[entries]]
    ordered = np.empty_like(means)
    ordered[longest_first] = means
    out[...] = ordered.reshape(out.shape)
