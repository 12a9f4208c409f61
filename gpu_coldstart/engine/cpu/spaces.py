"""Embedding spaces on the CPU: PMI, truncated sparse SVD."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy import linalg

from gpu_coldstart.engine.base import Csr, HostArray, PmiOptions, Svd, SvdOptions
from gpu_coldstart.engine.cpu.products import times_dense

__all__ = ["Times", "pmi", "pmi_of_rows", "svd", "svd_by", "totals_of"]

Times = Callable[[HostArray], HostArray]
"""From a dense matrix [columns, d] of float32 to the product of a matrix with it."""


def pmi(counts: Csr, options: PmiOptions) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.pmi`."""
    return pmi_of_rows(counts, totals_of(counts, options), options)


def totals_of(counts: Csr, options: PmiOptions) -> HostArray:
    """Sum of each row's counts that pass ``min_count`` [rows] of float64."""
    rows, kept = _counted(counts, options)
    return np.bincount(rows, counts.data[kept], minlength=counts.shape[0])


def pmi_of_rows(
    counts: Csr,
    totals: HostArray,
    options: PmiOptions,
    *,
    own: Any = np.s_[:],
    across: bool = False,
) -> Csr:
    """PMI of some rows of a symmetric matrix.

    Parameters
    ----------
    counts : Csr [rows, columns]
    totals : HostArray [columns] of float64
        Those of all rows of the matrix (:func:`totals_of`).
    own : index
        Which rows ``counts`` has.
    across : bool
        The same rows of the transposed PMI instead, which is another with context smoothing.
    """
    rows, kept = _counted(counts, options)
    columns, seen = counts.indices[kept], counts.data[kept].astype(np.float64)
    contexts = totals**options.smoothing
    with np.errstate(divide="ignore"):
        left, right = np.log(totals), np.log(contexts)
    if across:
        left, right = right, left
    offset = np.log(contexts.sum()) - np.log(options.shift) if len(seen) else 0.0
    values = (np.log(seen) + offset - left[own][rows] - right[columns]).astype(np.float32)
    positive = values > 0
    lengths = np.bincount(rows[positive], minlength=counts.shape[0])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Csr(indptr, columns[positive], values[positive], counts.shape)


def _counted(counts: Csr, options: PmiOptions) -> tuple[HostArray, HostArray]:
    """Row of each entry that passes ``min_count``, and the mask of these entries."""
    rows = np.repeat(np.arange(counts.shape[0], dtype=np.int32), np.diff(counts.indptr))
    kept = counts.data >= options.min_count
    return rows[kept], kept


def svd(matrix: sp.csr_array, options: SvdOptions) -> Svd:
    """See :meth:`gpu_coldstart.engine.base.Engine.svd`."""
    across = matrix.T.tocsr()
    return svd_by(partial(times_dense, matrix), partial(times_dense, across), matrix.shape, options)


def svd_by(times: Times, across: Times, shape: tuple[int, int], options: SvdOptions) -> Svd:
    """The same of a matrix that is only known by its products, and its transpose's.

    The randomised range finder of Halko, Martinsson & Tropp (2011), normalised by LU after each
    half step, as in scikit-learn, which multiplies on one thread only.
    """
    if shape[0] < shape[1]:  # the thinner way round
        v, s, ut = _range_svd(across, times, shape[0], options)
        u, vt = ut.T, v.T
    else:
        u, s, vt = _range_svd(times, across, shape[1], options)
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    rank = options.rank
    parts = (u * signs)[:, :rank], s[:rank], (vt * signs[:, None])[:rank]
    return Svd(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _range_svd(
    tall: Times, wide: Times, columns: int, options: SvdOptions
) -> tuple[HostArray, HostArray, HostArray]:
    """Leading singular triplets of what ``tall`` multiplies by, oversampled; ``wide`` is across."""
    size = options.rank + options.oversamples
    random = np.random.default_rng(options.seed)
    basis: HostArray = random.standard_normal((columns, size), dtype=np.float32)
    for _ in range(options.power_iterations):
        basis, _ = linalg.lu(tall(basis), permute_l=True)
        basis, _ = linalg.lu(wide(basis), permute_l=True)
    basis, _ = linalg.qr(tall(basis), mode="economic")
    v, s, ut = linalg.svd(wide(basis), full_matrices=False)
    return basis @ ut.T, s, v.T
