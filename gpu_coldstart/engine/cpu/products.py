"""Sparse times sparse and sparse times dense, compiled, on several threads."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.jit import add_scaled, compiled_strictly
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["pool_rows", "times_dense", "times_sparse"]

_FEW_ROWS = 1 << 9
"""Rows that a thread takes at once: few, as the popular ones, which come first, are longest."""

_SPARSE = 16
"""So many columns are looked through in the time that one takes to be sorted."""

_ROWS = 64
"""Rows of a sparse product that a thread takes at once, each of which may fill all columns."""


def times_sparse(left: Csr, right: Csr) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.product`.

    Gustavson's algorithm: each row is summed by one thread in the order of its entries, as SciPy
    does it on one.
    """
    n, width = left.shape[0], right.shape[1]
    before = np.zeros(left.nnz + 1, np.int64)  # entries of ``right`` that are met before each
    np.cumsum(np.diff(right.indptr)[left.indices], out=before[1:])
    most = np.minimum(np.diff(before[left.indptr]), width)
    factors = (left.indptr, left.indices, left.data), (right.indptr, right.indices, right.data)
    indptr = np.zeros(n + 1, np.int64)
    runs: dict[int, tuple[HostArray, HostArray]] = {}

    def work(start: int, stop: int) -> None:
        room = int(most[start:stop].sum())
        columns, values = np.empty(room, np.int32), np.empty(room, np.float32)
        sums, met = np.zeros(width, np.float32), np.zeros(width, np.bool_)
        held = _sum_rows(factors, (start, stop), (sums, met), (columns, values), indptr)
        runs[start] = columns[:held].copy(), values[:held].copy()

    over_rows(n, _ROWS, work)
    np.cumsum(indptr, out=indptr)
    columns, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    for start in range(0, n, _ROWS):
        run = slice(indptr[start], indptr[min(start + _ROWS, n)])
        columns[run], values[run] = runs.pop(start)  # so that no entry is held twice for long
    return Csr(indptr, columns, values, (n, width))


@compiled_strictly
def _sum_rows(
    factors: tuple[tuple[HostArray, HostArray, HostArray], tuple[HostArray, HostArray, HostArray]],
    rows: tuple[int, int],
    scratch: tuple[HostArray, HostArray],
    out: tuple[HostArray, HostArray],
    indptr: HostArray,
) -> int:
    """Write the ``rows`` (first, end) to the start of ``out``; the number of their entries.

    That of each row is put where its end will stand in ``indptr``. The scratch is zero before and
    after: the sum of each column, and whether one was begun.
    """
    (starts, middles, scales), (other_starts, others, values) = factors
    sums, met = scratch
    columns, totals = out
    written = 0
    for row in range(rows[0], rows[1]):
        first, found = written, written
        for entry in range(starts[row], starts[row + 1]):
            middle = middles[entry]
            for other in range(other_starts[middle], other_starts[middle + 1]):
                column = others[other]
                if not met[column]:
                    met[column] = True
                    columns[found] = column
                    found += 1
                sums[column] += scales[entry] * values[other]
        if (found - first) * _SPARSE < len(sums):
            columns[first:found].sort()
        else:  # to look through all columns is faster than to sort those met
            found = first
            for column in range(len(sums)):
                if met[column]:
                    columns[found] = column
                    found += 1
        for place in range(first, found):
            column = columns[place]
            if sums[column] != 0:
                columns[written], totals[written] = column, sums[column]
                written += 1
            sums[column] = 0
            met[column] = False
        indptr[row + 1] = written - first
    return written


def times_dense(matrix: sp.csr_array, dense: HostArray) -> HostArray:
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


@compiled_strictly
def pool_rows(
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
