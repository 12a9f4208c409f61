"""Embedding spaces on the CPU: PMI, truncated sparse SVD."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy import linalg

from gpu_coldstart.engine.base import Csr, HostArray, Svd
from gpu_coldstart.engine.cpu.sparse import product

__all__ = ["pmi", "svd"]


def pmi(counts: Csr, *, shift: float, smoothing: float, min_count: float) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.pmi`."""
    rows = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    kept = counts.data >= min_count
    rows, columns, seen = rows[kept], counts.indices[kept], counts.data[kept].astype(np.float64)
    totals = np.bincount(rows, seen, minlength=counts.shape[0])
    contexts = totals**smoothing
    with np.errstate(divide="ignore"):
        left, right = np.log(totals), np.log(contexts)
    offset = np.log(contexts.sum()) - np.log(shift) if len(seen) else 0.0
    values = (np.log(seen) + offset - left[rows] - right[columns]).astype(np.float32)
    positive = values > 0
    lengths = np.bincount(rows[positive], minlength=counts.shape[0])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Csr(indptr, columns[positive], values[positive], counts.shape)


def svd(matrix: sp.csr_array, rank: int, oversamples: int, power_iterations: int, seed: int) -> Svd:
    """See :meth:`gpu_coldstart.engine.base.Engine.svd`.

    The randomised range finder of Halko, Martinsson & Tropp (2011), normalised by LU after each
    half step, as in scikit-learn, which multiplies on one thread only.
    """
    if matrix.shape[0] < matrix.shape[1]:  # the thinner way round
        found = _range_svd(matrix.T.tocsr(), matrix, rank + oversamples, power_iterations, seed)
        u, s, vt = found[2].T, found[1], found[0].T
    else:
        u, s, vt = _range_svd(matrix, matrix.T.tocsr(), rank + oversamples, power_iterations, seed)
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    parts = (u * signs)[:, :rank], s[:rank], (vt * signs[:, None])[:rank]
    return Svd(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _range_svd(
    tall: sp.csr_array, wide: sp.csr_array, size: int, power_iterations: int, seed: int
) -> tuple[HostArray, HostArray, HostArray]:
    """At most ``size`` leading singular triplets of ``tall``; ``wide`` is its transpose."""
    random = np.random.default_rng(seed)
    basis: HostArray = random.standard_normal((tall.shape[1], size), dtype=np.float32)
    for _ in range(power_iterations):
        basis, _ = linalg.lu(product(tall, basis), permute_l=True)
        basis, _ = linalg.lu(product(wide, basis), permute_l=True)
    basis, _ = linalg.qr(product(tall, basis), mode="economic")
    v, s, ut = linalg.svd(product(wide, basis), full_matrices=False)
    return basis @ ut.T, s, v.T
