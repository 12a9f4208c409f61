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
    loop = _squared_distances if distances else _negated_products
    loop(queries, items, (chosen, held), keys)
    return keys


@compiled_strictly
def _negated_products(
    queries: HostArray,
    items: HostArray,
    candidates: tuple[HostArray, HostArray],
    keys: HostArray,
) -> None:
    """Four pairs abreast, each summed dimension by dimension; rows may share candidates."""
    d = queries.shape[1]
    query = np.empty(d)
    every, held = candidates
    for row in range(len(queries)):
        query[:] = queries[row]
        chosen = every[row % len(every)]
        width = held[row]
        whole = width - width % 4
        for c in range(0, whole, 4):
            i0, i1, i2, i3 = (
                items[chosen[c]],
                items[chosen[c + 1]],
                items[chosen[c + 2]],
                items[chosen[c + 3]],
            )
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(d):
                q = query[j]
                s0 -= q * np.float64(i0[j])
                s1 -= q * np.float64(i1[j])
                s2 -= q * np.float64(i2[j])
                s3 -= q * np.float64(i3[j])
            keys[row, c], keys[row, c + 1], keys[row, c + 2], keys[row, c + 3] = s0, s1, s2, s3
        for c in range(whole, width):
            item, total = items[chosen[c]], 0.0
            for j in range(d):
                total -= query[j] * np.float64(item[j])
            keys[row, c] = total


@compiled_strictly
def _squared_distances(
    queries: HostArray,
    items: HostArray,
    candidates: tuple[HostArray, HostArray],
    keys: HostArray,
) -> None:
    """The same."""
    d = queries.shape[1]
    query = np.empty(d)
    every, held = candidates
    for row in range(len(queries)):
        query[:] = queries[row]
        chosen = every[row % len(every)]
        width = held[row]
        whole = width - width % 4
        for c in range(0, whole, 4):
            i0, i1, i2, i3 = (
                items[chosen[c]],
                items[chosen[c + 1]],
                items[chosen[c + 2]],
                items[chosen[c + 3]],
            )
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(d):
                q = query[j]
                a0, a1 = q - np.float64(i0[j]), q - np.float64(i1[j])
                a2, a3 = q - np.float64(i2[j]), q - np.float64(i3[j])
                s0 += a0 * a0
                s1 += a1 * a1
                s2 += a2 * a2
                s3 += a3 * a3
            keys[row, c], keys[row, c + 1], keys[row, c + 2], keys[row, c + 3] = s0, s1, s2, s3
        for c in range(whole, width):
            item, total = items[chosen[c]], 0.0
            for j in range(d):
                apart = query[j] - np.float64(item[j])
                total += apart * apart
            keys[row, c] = total
