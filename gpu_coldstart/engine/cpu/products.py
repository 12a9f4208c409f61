"""Sparse times dense, compiled, on several threads."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.jit import add_scaled, compiled_strictly
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["pool_rows", "product"]

_FEW_ROWS = 1 << 9
"""Rows that a thread takes at once: few, as the popular ones, which come first, are longest."""


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
