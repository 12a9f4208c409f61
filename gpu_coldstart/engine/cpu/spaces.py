"""Embedding spaces on the CPU: PMI, truncated sparse SVD."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy import linalg

from gpu_coldstart.engine.base import Csr, HostArray, PmiOptions, Svd, SvdOptions
from gpu_coldstart.engine.cpu.products import product

__all__ = ["pmi", "svd"]


def pmi(counts: Csr, options: PmiOptions) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.pmi`."""
    rows = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    kept = counts.data >= options.min_count
    rows, columns, seen = rows[kept], counts.indices[kept], counts.data[kept].astype(np.float64)
    totals = np.bincount(rows, seen, minlength=counts.shape[0])
    contexts = totals**options.smoothing
    with np.errstate(divide="ignore"):
        left, right = np.log(totals), np.log(contexts)
    offset = np.log(contexts.sum()) - np.log(options.shift) if len(seen) else 0.0
    values = (np.log(seen) + offset - left[rows] - right[columns]).astype(np.float32)
    positive = values > 0
    lengths = np.bincount(rows[positive], minlength=counts.shape[0])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Csr(indptr, columns[positive], values[positive], counts.shape)


def svd(matrix: sp.csr_array, options: SvdOptions) -> Svd:
    """See :meth:`gpu_coldstart.engine.base.Engine.svd`.

    The randomised range finder of Halko, Martinsson & Tropp (2011), normalised by LU after each
    half step, as in scikit-learn, which multiplies on one thread only.
    """
    if matrix.shape[0] < matrix.shape[1]:  # the thinner way round
        v, s, ut = _range_svd(matrix.T.tocsr(), matrix, options)
        u, vt = ut.T, v.T
    else:
        u, s, vt = _range_svd(matrix, matrix.T.tocsr(), options)
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    rank = options.rank
    parts = (u * signs)[:, :rank], s[:rank], (vt * signs[:, None])[:rank]
    return Svd(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _range_svd(
    tall: sp.csr_array, wide: sp.csr_array, options: SvdOptions
) -> tuple[HostArray, HostArray, HostArray]:
    """Leading singular triplets of ``tall``, oversampled; ``wide`` is its transpose."""
    size = options.rank + options.oversamples
    random = np.random.default_rng(options.seed)
    basis: HostArray = random.standard_normal((tall.shape[1], size), dtype=np.float32)
    for _ in range(options.power_iterations):
        basis, _ = linalg.lu(product(tall, basis), permute_l=True)
        basis, _ = linalg.lu(product(wide, basis), permute_l=True)
    basis, _ = linalg.qr(product(tall, basis), mode="economic")
    v, s, ut = linalg.svd(product(wide, basis), full_matrices=False)
    return basis @ ut.T, s, v.T
