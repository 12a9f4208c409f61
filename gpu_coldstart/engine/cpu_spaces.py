"""Embedding spaces on the CPU: PMI, truncated sparse SVD, weighted ALS."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from scipy import linalg
from threadpoolctl import threadpool_limits

from gpu_coldstart.engine.base import Csr, HostArray, Svd
from gpu_coldstart.engine.cpu_sparse import product

__all__ = ["als", "pmi", "svd"]


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
    normal = np.random.RandomState(seed).normal(size=(tall.shape[1], size))
    basis: HostArray = normal.astype(np.float32)
    for _ in range(power_iterations):
        basis, _ = linalg.lu(product(tall, basis), permute_l=True)
        basis, _ = linalg.lu(product(wide, basis), permute_l=True)
    basis, _ = linalg.qr(product(tall, basis), mode="economic")
    u, s, vt = linalg.svd(product(wide, basis).T, full_matrices=False)
    return basis @ u, s, vt


def als(
    confidence: sp.csr_array,
    *,
    factors: int,
    iterations: int,
    regularization: float,
    cg_steps: int,
    seed: int,
    progress: Callable[[int, float], None],
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.als`; implicit's conjugate-gradient ALS.

    ``implicit`` runs one row a thread, which BLAS threads would only disturb, so those are held
    at one.
    """
    # Imported first, as the limit only reaches libraries that are loaded already.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where its GPU half does not load, which is not asked for
        from implicit.cpu.als import AlternatingLeastSquares

    # implicit wants the older SciPy matrix class.
    matrix = sp.csr_matrix(confidence)
    cells = _cells(matrix)
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            iterations=iterations,
            random_state=seed,
        )
        model.cg_steps = cg_steps

        def report(iteration: int, seconds: float, loss: float | None) -> None:
            del seconds, loss
            found = model.user_factors, model.item_factors
            total = _objective(matrix.data, cells, *found, regularization)
            progress(iteration, total / (matrix.shape[0] * matrix.shape[1]))

        model.fit(matrix, show_progress=False, callback=report)
    return model.user_factors, model.item_factors


def _cells(matrix: sp.csr_matrix) -> torch.Tensor:
    """Where a matrix has entries, as PyTorch's CSR of zeros."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls its sparse matrices a beta
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr),
            torch.from_numpy(matrix.indices),
            torch.zeros(matrix.nnz),
            size=matrix.shape,
            check_invariants=False,
        )


def _objective(
    confidence: HostArray,
    cells: torch.Tensor,
    users: HostArray,
    tracks: HostArray,
    regularization: float,
) -> float:
    """``sum_ui c_ui (p_ui - x_u.y_i)^2 + l (sum|x|^2 + sum|y|^2)`` over all cells.

    The sum of all squared predictions is that of the product of the factors' Gram matrices; what
    the ``cells`` with a ``confidence`` add to it is summed by one thread, so that it repeats bit
    by bit. (implicit's own sum takes five times as long on one thread, and need not repeat on
    several.)
    """
    x, y = torch.from_numpy(users), torch.from_numpy(tracks)
    found = torch.sparse.sampled_addmm(cells, x, y.T, beta=0.0).values().numpy()
    added = (confidence * np.square(1 - found) - np.square(found)).sum(dtype=np.float64)
    everywhere = ((users.T @ users).astype(np.float64) * (tracks.T @ tracks)).sum()
    lengths = sum(float(np.square(part).sum(dtype=np.float64)) for part in (users, tracks))
    return float(added + everywhere) + regularization * lengths
