"""Weighted ALS on the CPU, by conjugate gradients: the twin of ``kernels/als.cu``.

The normal equations of a row are ``(gram + sum_i (c_i - 1) y_i y_i^T) x = sum_i c_i y_i``, where
``gram = Y^T Y + l I`` is common to all rows (Hu, Koren & Volinsky 2008; Takács, Pilászy & Tikk
2011). Each row is solved by one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu_jit import add_scaled, compiled, copy_into, dot, inlined
from gpu_coldstart.engine.cpu_threads import over_rows

__all__ = ["als"]

_ROWS = 64
"""Rows that a thread takes at once: few, as the first tracks have nearly all the streams."""

_GATHERED = 1 << 19
"""Numbers of the other side's factors that a row may copy together, to read them five times."""

_ARRIVED = 1e-20
"""Squared residual at which a row's conjugate gradients stop."""


class _Side(NamedTuple):
    """One side's entries, as CSR, and what its rows are solved against."""

    indptr: HostArray
    indices: HostArray
    confidence: HostArray
    fixed: HostArray
    gram: HostArray


class _Rule(NamedTuple):
    """How far to go."""

    cg_steps: int
    arrived: float
    gathered: int


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
    """See :meth:`gpu_coldstart.engine.base.Engine.als`; both sides start small and positive."""
    random = np.random.default_rng(seed)
    users, tracks = (
        random.random((n, factors), dtype=np.float32) * np.float32(0.01) for n in confidence.shape
    )
    across = confidence.T.tocsr()
    cells = confidence.shape[0] * confidence.shape[1]
    for iteration in range(iterations):
        _solve(confidence, users, tracks, regularization, cg_steps)
        losses = _solve(across, tracks, users, regularization, cg_steps)
        progress(iteration, (losses + _everywhere(users, tracks, regularization)) / cells)
    return users, tracks


def _solve(
    confidence: sp.csr_array, x: HostArray, fixed: HostArray, regularization: float, cg_steps: int
) -> float:
    """Move ``x`` [rows, d] towards its solution; what entries then add to the objective."""
    gram = _gram(fixed) + np.float32(regularization) * np.eye(x.shape[1], dtype=np.float32)
    losses = np.zeros(len(x))
    side = _Side(confidence.indptr, confidence.indices, confidence.data, fixed, gram)
    rule = _Rule(cg_steps, _ARRIVED, _GATHERED)

    def work(start: int, stop: int) -> None:
        _solve_rows(side, x, losses, (start, stop), rule)

    over_rows(len(x), _ROWS, work)
    return float(losses.sum())


def _gram(factors: HostArray) -> HostArray:
    """``Y^T Y``."""
    product: HostArray = factors.T @ factors
    return product


def _everywhere(users: HostArray, tracks: HostArray, regularization: float) -> float:
    """The objective as if no cell had an entry: all squared predictions, and the lengths."""
    squares = (_gram(users).astype(np.float64) * _gram(tracks)).sum()
    lengths = sum(np.square(part).sum(dtype=np.float64) for part in (users, tracks))
    return float(squares + regularization * lengths)


@inlined
def _times_gram(vector: HostArray, gram: HostArray, out: HostArray) -> None:
    out[:] = np.float32(0)
    for j in range(len(vector)):
        add_scaled(vector[j], gram[j], out)


@inlined
def _solve_row(
    c: HostArray, factors: tuple[HostArray, HostArray], gram: HostArray, x: HostArray, rule: _Rule
) -> float:
    """Conjugate gradients for one row ``x`` [d]; its loss then.

    That is ``sum_i c_i (1 - x.y_i)^2 - (x.y_i)^2`` over its entries, of confidence ``c`` [n]. Their
    ``factors`` are a matrix and [n] rows of it.
    """
    y, place = factors
    one = np.float32(1)
    residual, direction, product = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    _times_gram(x, gram, direction)
    residual[:] = -direction
    for i in range(len(c)):
        row = y[place[i]]
        add_scaled(c[i] - (c[i] - one) * dot(row, x), row, residual)
    direction[:] = residual
    squares = dot(residual, residual)
    for _ in range(rule.cg_steps):
        if squares < rule.arrived:
            break
        _times_gram(direction, gram, product)
        for i in range(len(c)):
            row = y[place[i]]
            add_scaled((c[i] - one) * dot(row, direction), row, product)
        step = squares / dot(direction, product)
        add_scaled(step, direction, x)
        add_scaled(-step, product, residual)
        before, squares = squares, dot(residual, residual)
        for j in range(len(x)):
            direction[j] = residual[j] + squares / before * direction[j]
    loss = 0.0
    for i in range(len(c)):
        found = np.float64(dot(y[place[i]], x))
        loss += c[i] * (1 - found) ** 2 - found**2
    return loss


@compiled
def _solve_rows(
    side: _Side, x: HostArray, losses: HostArray, rows: tuple[int, int], rule: _Rule
) -> None:
    """Solve the ``rows`` (first, end) of ``x``, and note their ``losses``."""
    d = x.shape[1]
    longest = rule.gathered // d
    copies = np.empty((longest, d), np.float32)
    in_order = np.arange(longest).astype(np.int32)
    for row in range(rows[0], rows[1]):
        first, end = side.indptr[row], side.indptr[row + 1]
        y, place = side.fixed, side.indices[first:end]
        if first == end:
            x[row] = np.float32(0)
            continue
        if end - first <= longest:  # side by side, they are read faster
            for i in range(end - first):
                copy_into(side.fixed[place[i]], copies[i])
            y, place = copies, in_order[: end - first]
        losses[row] = _solve_row(side.confidence[first:end], (y, place), side.gram, x[row], rule)
