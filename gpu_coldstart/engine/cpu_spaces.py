"""Embedding spaces on the CPU: PMI, truncated sparse SVD, weighted ALS."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from gpu_coldstart.engine.base import Csr, HostArray, Svd

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
    """See :meth:`gpu_coldstart.engine.base.Engine.svd`; scikit-learn's randomised SVD."""
    from sklearn.utils.extmath import randomized_svd

    u, s, vt = randomized_svd(
        matrix,
        rank,
        n_oversamples=oversamples,
        n_iter=power_iterations,
        power_iteration_normalizer="LU",
        random_state=seed,
        flip_sign=True,
    )
    return Svd(*(np.ascontiguousarray(part, np.float32) for part in (u, s, vt)))


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
    at one. The objective is summed by one thread: a parallel sum would not repeat bit by bit.
    """
    # Imported first, as the limit only reaches libraries that are loaded already.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where its GPU half does not load, which is not asked for
        from implicit.cpu import _als
        from implicit.cpu.als import AlternatingLeastSquares

    # implicit wants the older SciPy matrix class.
    matrix = sp.csr_matrix(confidence)
    cells = matrix.shape[0] * matrix.shape[1]
    # implicit divides its objective by the sum of all confidences.
    per_cell = (float(matrix.data.sum(dtype=np.float64)) + cells - matrix.nnz) / cells
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
            objective = _als.calculate_loss(
                matrix, model.user_factors, model.item_factors, regularization, num_threads=1
            )
            progress(iteration, float(objective) * per_cell)

        model.fit(matrix, show_progress=False, callback=report)
    return model.user_factors, model.item_factors
