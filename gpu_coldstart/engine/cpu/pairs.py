"""Exact values of pairs of vectors, compiled: :func:`gpu_coldstart.engine.settle.pair_keys`."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.jit import compiled_strictly

__all__ = ["keys_of"]


def keys_of(
    queries: HostArray,
    items: HostArray,
    candidates: HostArray | None,
    held: HostArray | None = None,
    *,
    distances: bool,
) -> HostArray:
    """The same bits as :func:`gpu_coldstart.engine.settle.pair_keys`, faster.

    Only of the first ``held`` [n] of int64 candidates of each query, where told; others are 0.
    """
    chosen = np.arange(len(items), dtype=np.int32)[None] if candidates is None else candidates
    keys = np.zeros((len(queries), chosen.shape[1]))
    if held is None:
        held = np.full(len(queries), chosen.shape[1], np.int64)
    _sums(queries, items, (chosen, held), keys, distances)
    return keys


@compiled_strictly
def _sums(
    queries: HostArray,
    items: HostArray,
    candidates: tuple[HostArray, HostArray],
    keys: HostArray,
    distances: bool,  # noqa: FBT001 - compiled functions take no keywords
) -> None:
    """Eight pairs abreast: first the terms of each, then their sums dimension by dimension.

    Rows may share candidates.
    """
    every, held = candidates
    d = queries.shape[1]
    query, terms = np.empty(d), np.zeros((8, d))
    t0, t1, t2, t3 = terms[0], terms[1], terms[2], terms[3]
    t4, t5, t6, t7 = terms[4], terms[5], terms[6], terms[7]
    for row in range(len(queries)):
        query[:] = queries[row]
        chosen = every[row % len(every)]
        for first in range(0, held[row], 8):
            some = min(8, held[row] - first)
            for lane in range(some):
                item, line = items[chosen[first + lane]], terms[lane]
                if distances:
                    for j in range(len(query)):
                        apart = query[j] - np.float64(item[j])
                        line[j] = apart * apart
                else:
                    for j in range(len(query)):
                        line[j] = -(query[j] * np.float64(item[j]))
            s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(d):
                s0 += t0[j]
                s1 += t1[j]
                s2 += t2[j]
                s3 += t3[j]
                s4 += t4[j]
                s5 += t5[j]
                s6 += t6[j]
                s7 += t7[j]
            sums = (s0, s1, s2, s3, s4, s5, s6, s7)
            for lane in range(some):
                keys[row, first + lane] = sums[lane]
