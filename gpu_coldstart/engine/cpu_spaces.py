"""Embedding spaces on the CPU: PMI, truncated sparse SVD, weighted ALS."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from gpu_coldstart.engine.base import Csr, HostArray, Svd
from gpu_coldstart.engine.cpu_threads import over_rows

__all__ = ["als", "pmi", "svd"]

_OBJECTIVE_ROWS = 512
_OBJECTIVE_CELLS = 2048
"""Cells of the objective at once, whose two factors fit in a core's cache."""


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
    at one.
    """
    # Imported first, as the limit only reaches libraries that are loaded already.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where its GPU half does not load, which is not asked for
        from implicit.cpu.als import AlternatingLeastSquares

    # implicit wants the older SciPy matrix class.
    matrix = sp.csr_matrix(confidence)
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
            total = _objective(matrix, model.user_factors, model.item_factors, regularization)
            progress(iteration, total / (matrix.shape[0] * matrix.shape[1]))

        model.fit(matrix, show_progress=False, callback=report)
    return model.user_factors, model.item_factors


def _objective(
    confidence: sp.csr_matrix, users: HostArray, tracks: HostArray, regularization: float
) -> float:
    """``sum_ui c_ui (p_ui - x_u.y_i)^2 + l (sum|x|^2 + sum|y|^2)`` over all cells.

    The sum of all squared predictions is that of the product of the factors' Gram matrices; what
    the cells with a confidence add to it is summed in fixed runs of rows, so it repeats bit by
    bit. (implicit's own sum takes twice as long on one thread, and does not repeat on several.)
    """
    n, indptr = confidence.shape[0], confidence.indptr
    added = np.zeros(-(-n // _OBJECTIVE_ROWS))

    def work(start: int, stop: int) -> None:
        rows = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
        first = int(indptr[start])
        for low in range(0, len(rows), _OBJECTIVE_CELLS):
            some = slice(low, low + _OBJECTIVE_CELLS)
            cells = slice(first + low, first + min(low + _OBJECTIVE_CELLS, len(rows)))
            seen = tracks[confidence.indices[cells]]
            found = np.einsum("cd,cd->c", users[rows[some]], seen).astype(np.float64)
            missed = confidence.data[cells] * np.square(1 - found)
            added[start // _OBJECTIVE_ROWS] += float((missed - np.square(found)).sum())

    over_rows(n, _OBJECTIVE_ROWS, work)
    everywhere = (users.T @ users).astype(np.float64) * (tracks.T @ tracks)
    lengths = sum(float(np.square(part).sum(dtype=np.float64)) for part in (users, tracks))
    return float(added.sum() + everywhere.sum()) + regularization * lengths
