"""Entries of sparse rows counted by segment, and the best of each row, compiled."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.jit import compiled_strictly
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["best_entries", "dense_pays", "segment_counts"]

_CELLS_EACH = 64
"""So many cells of a segment are looked through in the time that one entry takes to be sorted."""

_ROWS = 64
"""Rows that a thread takes at once."""


def dense_pays(matrix: Csr, k: int) -> bool:
    """Whether to count in a row of all columns for each of ``k`` segments is the faster way."""
    return k * matrix.shape[1] <= _CELLS_EACH * matrix.nnz


def segment_counts(labels: HostArray, matrix: Csr, k: int) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.segment_counts`."""
    labels = np.asarray(labels)
    indptr = np.zeros(k + 1, np.int64)
    columns, counts = np.empty(matrix.nnz, np.int32), np.empty(matrix.nnz, np.float32)
    members = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=k))
    _count(
        (matrix.indptr, matrix.indices), (members, ends), (indptr, columns, counts), matrix.shape[1]
    )
    held = int(indptr[-1])
    return Csr(indptr, columns[:held].copy(), counts[:held].copy(), (k, matrix.shape[1]))


@compiled_strictly
def _count(
    matrix: tuple[HostArray, HostArray],
    segments: tuple[HostArray, HostArray],
    out: tuple[HostArray, HostArray, HostArray],
    width: int,
) -> None:
    """Fill ``out``, a matrix of counts; ``segments`` are the rows of each, and where they end."""
    starts, entries = matrix
    members, ends = segments
    indptr, columns, counts = out
    tally = np.zeros(width, np.int32)
    first = written = 0
    for segment in range(len(ends)):
        for place in range(first, ends[segment]):
            row = members[place]
            for entry in range(starts[row], starts[row + 1]):
                tally[entries[entry]] += 1
        first = ends[segment]
        for column in range(width):
            if tally[column]:
                columns[written], counts[written] = column, tally[column]
                tally[column] = 0
                written += 1
        indptr[segment + 1] = written


def best_entries(matrix: Csr, depth: int) -> tuple[HostArray, HostArray]:
    """The ``depth`` largest positive entries of each row, equal ones by smaller column.

    Returns
    -------
    columns : array [rows, depth] of int32
    values : array [rows, depth] of float32
        0 where a row has no more; the column then means nothing.
    """
    keys = np.zeros((matrix.shape[0], depth), np.uint64)

    def work(start: int, stop: int) -> None:
        _choose(
            (matrix.indptr, matrix.indices, matrix.data.view(np.uint32)), start, keys[start:stop]
        )
        keys[start:stop].sort(axis=1)

    over_rows(len(keys), _ROWS, work)
    keys = keys[:, ::-1]
    columns = ~(keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return columns.view(np.int32), (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)


@compiled_strictly
def _choose(entries: tuple[HostArray, HostArray, HostArray], first: int, keys: HostArray) -> None:
    """Keep each row's largest keys, in a heap with the least at its top.

    A key is a value's bits, which for positive numbers are in their order, before the column's,
    inverted so that of equal values the first is largest.
    """
    indptr, columns, bits = entries
    depth = keys.shape[1]
    for row in range(len(keys)):
        heap = keys[row]
        least = heap[0] >> np.uint64(32)
        for entry in range(indptr[first + row], indptr[first + row + 1]):
            value = np.uint64(bits[entry])
            # From here on a number is negative.
            if value < least or value == 0 or value > np.uint64(0x7F800000):
                continue
            key = (value << np.uint64(32)) | np.uint64(0xFFFFFFFF - columns[entry])
            if key < heap[0]:
                continue
            place = 0
            while True:
                below = 2 * place + 1
                if below >= depth:
                    break
                if below + 1 < depth and heap[below + 1] < heap[below]:
                    below += 1
                if heap[below] >= key:
                    break
                heap[place] = heap[below]
                place = below
            heap[place] = key
            least = heap[0] >> np.uint64(32)
