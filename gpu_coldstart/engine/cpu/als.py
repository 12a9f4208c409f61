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

from gpu_coldstart.engine.base import AlsOptions, Csr, HostArray
from gpu_coldstart.engine.cpu.jit import add_scaled, compiled, copy_into, dot, inlined
from gpu_coldstart.engine.cpu.sparse import to_scipy
from gpu_coldstart.engine.cpu.threads import over_rows

__all__ = ["ARRIVED", "add_pulls", "als", "gram_of", "solve", "start"]

_ROWS = 64
"""Rows that a thread takes at once: few, as the first tracks have nearly all the streams."""

ARRIVED = 1e-20
"""Squared residual at which a row's conjugate gradients stop."""


class _Side(NamedTuple):
    """One side's entries, as CSR, and what its rows are solved against."""

    indptr: HostArray
    indices: HostArray
    confidence: HostArray
    fixed: HostArray
    gram: HostArray


def als(
    affinity: Csr, options: AlsOptions, progress: Callable[[int, float], None]
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.als`; both sides start small and positive."""
    confidence = to_scipy(affinity.with_data(1.0 + np.float32(options.confidence) * affinity.data))
    n_users, n_tracks = confidence.shape
    users, tracks = start(options, 0, n_users), start(options, n_users, n_tracks)
    across = confidence.T.tocsr()
    for iteration in range(options.iterations):
        solve(confidence, users, tracks, gram_of(tracks, options), options.cg_steps)
        loss = solve(across, tracks, users, gram_of(users, options), options.cg_steps)
        loss += options.regularization * float(np.square(users).sum(dtype=np.float64))
        progress(iteration, loss / (n_users * n_tracks))
    return users, tracks


def start(options: AlsOptions, first: int, n: int) -> HostArray:
    """Factors [n, d] to start from, of the rows ``first`` on: users, and tracks behind them."""
    skipped, bits = first * options.factors, np.random.PCG64(options.seed)
    bits.advance(skipped // 2)  # each of its steps makes two such numbers
    random = np.random.Generator(bits)
    random.random(skipped % 2, dtype=np.float32)
    factors: HostArray = random.random((n, options.factors), dtype=np.float32) * np.float32(0.01)
    return factors


def gram_of(fixed: HostArray, options: AlsOptions) -> HostArray:
    """What is common to all rows that are solved against ``fixed`` [rows, d]."""
    gram: HostArray = fixed.T @ fixed
    gram += np.float32(options.regularization) * np.eye(len(gram), dtype=np.float32)
    return gram


def solve(
    confidence: sp.csr_array, x: HostArray, fixed: HostArray, gram: HostArray, cg_steps: int
) -> float:
    """Move ``x`` [rows, d] towards its solution; the objective then, but for ``fixed``'s length."""
    losses = np.zeros(len(x))
    side = _Side(confidence.indptr, confidence.indices, confidence.data, fixed, gram)

    def work(start: int, stop: int) -> None:
        _solve_rows(side, x, losses, (start, stop), (cg_steps, ARRIVED))

    over_rows(len(x), _ROWS, work)
    return float(confidence.data.sum(dtype=np.float64) + losses.sum())


def add_pulls(
    confidence: sp.csr_array, users: HostArray, vectors: HostArray, out: HostArray, *, first: bool
) -> None:
    """What some users add to the equations of all tracks, on one thread.

    To a track's row: ``sum_u (c_u - 1) f_u x_u``, where ``f_u = x_u.v`` and v is the track's
    vector; ``first``, ``sum_u (c_u - (c_u - 1) f_u) x_u``. To its last number: ``sum_u c_u f_u``.

    Parameters
    ----------
    confidence : csr_array [users, tracks]
    users : HostArray [users, d] of float32
    vectors : HostArray [tracks, d] of float32
    out : HostArray [tracks, d + 1] of float32
        Added to.
    """
    shares = np.float32(first), np.float32(-1 if first else 1)
    entries = confidence.indptr, confidence.indices, confidence.data
    _add_pulls(entries, users, vectors, out, shares)


@compiled
def _add_pulls(
    entries: tuple[HostArray, HostArray, HostArray],
    users: HostArray,
    vectors: HostArray,
    out: HostArray,
    shares: tuple[np.float32, np.float32],
) -> None:
    indptr, indices, confidence = entries
    s, t = shares
    one, d = np.float32(1), users.shape[1]
    for user in range(len(users)):
        x = users[user]
        for entry in range(indptr[user], indptr[user + 1]):
            track, c = indices[entry], confidence[entry]
            f = dot(x, vectors[track])
            add_scaled(s * c + t * (c - one) * f, x, out[track, :d])
            out[track, d] += c * f


@inlined
def _times_gram(vectors: HostArray, gram: HostArray, out: HostArray) -> None:
    """Two vectors by four rows of the Gramian at a time: its numbers and theirs are read less."""
    d = len(gram)
    a, b = vectors[0], vectors[1]
    whole = d - d % 4
    zero = np.float32(0)
    for j in range(0, whole, 4):
        g0, g1, g2, g3 = gram[j], gram[j + 1], gram[j + 2], gram[j + 3]
        a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(d):
            a0 += a[i] * g0[i]
            a1 += a[i] * g1[i]
            a2 += a[i] * g2[i]
            a3 += a[i] * g3[i]
            b0 += b[i] * g0[i]
            b1 += b[i] * g1[i]
            b2 += b[i] * g2[i]
            b3 += b[i] * g3[i]
        out[0, j], out[0, j + 1], out[0, j + 2], out[0, j + 3] = a0, a1, a2, a3
        out[1, j], out[1, j + 1], out[1, j + 2], out[1, j + 3] = b0, b1, b2, b3
    for j in range(whole, d):
        out[0, j], out[1, j] = dot(a, gram[j]), dot(b, gram[j])


@inlined
def _add_entries(
    side: _Side, row: int, shares: tuple[np.float32, np.float32], vector: HostArray, out: HostArray
) -> float:
    """``out += sum_i (s c_i + t (c_i - 1) f_i) y_i`` over the row's entries: ``f_i = y_i.vector``.

    ``shares`` are s and t. Returns ``sum_i c_i f_i``. Four entries at a time.
    """
    s, t = shares
    one, zero = np.float32(1), np.float32(0)
    first, end = side.indptr[row], side.indptr[row + 1]
    c, y, place = side.confidence[first:end], side.fixed, side.indices[first:end]
    total = 0.0
    whole = len(c) - len(c) % 4
    for i in range(0, whole, 4):
        y0, y1, y2, y3 = y[place[i]], y[place[i + 1]], y[place[i + 2]], y[place[i + 3]]
        c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
        f0, f1, f2, f3 = zero, zero, zero, zero
        for j in range(len(vector)):
            f0 += y0[j] * vector[j]
            f1 += y1[j] * vector[j]
            f2 += y2[j] * vector[j]
            f3 += y3[j] * vector[j]
        total += c0 * f0 + c1 * f1 + c2 * f2 + c3 * f3
        w0, w1 = s * c0 + t * (c0 - one) * f0, s * c1 + t * (c1 - one) * f1
        w2, w3 = s * c2 + t * (c2 - one) * f2, s * c3 + t * (c3 - one) * f3
        for j in range(len(vector)):
            out[j] += w0 * y0[j] + w1 * y1[j] + w2 * y2[j] + w3 * y3[j]
    for i in range(whole, len(c)):
        f = dot(y[place[i]], vector)
        total += c[i] * f
        add_scaled(s * c[i] + t * (c[i] - one) * f, y[place[i]], out)
    return total


@inlined
def _step(
    side: _Side, row: int, x: HostArray, state: tuple[HostArray, HostArray, HostArray]
) -> float:
    """One step for a row, from ``state``: the residual, the direction, and gram times direction.

    Returns by how much b.x grew.
    """
    r, p, q = state
    before = dot(r, r)
    explained = _add_entries(side, row, (np.float32(0), np.float32(1)), p, q)
    length = before / dot(p, q)
    add_scaled(length, p, x)
    add_scaled(-length, q, r)
    again = dot(r, r) / before
    for j in range(len(p)):
        p[j] = r[j] + again * p[j]
    return float(length) * explained


@compiled
def _solve_rows(
    side: _Side,
    x: HostArray,
    losses: HostArray,
    rows: tuple[int, int],
    until: tuple[int, float],
) -> None:
    """Solve the ``rows`` (first, end) of ``x``, two abreast, and note their ``losses``.

    With ``A x = b`` the equations and r the residual, a row's part of the objective and of its
    regularisation is ``sum c - 2 b.x + x.A x = sum c - b.x - r.x``, of which ``sum c`` is left out.
    """
    cg_steps, arrived = until
    one = np.float32(1)
    residual, direction, product = np.zeros((3, 2, x.shape[1]), np.float32)
    for first in range(rows[0], rows[1], 2):
        lanes = min(2, rows[1] - first)
        for lane in range(lanes):
            if side.indptr[first + lane] == side.indptr[first + lane + 1]:
                x[first + lane] = np.float32(0)  # the solution
            copy_into(x[first + lane], direction[lane])
        _times_gram(direction, side.gram, product)
        for lane in range(lanes):
            row, r = first + lane, residual[lane]
            copy_into(-product[lane], r)
            losses[row] = -_add_entries(side, row, (one, -one), x[row], r)
            copy_into(r, direction[lane])
        for _ in range(cg_steps):
            _times_gram(direction, side.gram, product)
            for lane in range(lanes):
                row, r = first + lane, residual[lane]
                if dot(r, r) >= arrived:
                    state = r, direction[lane], product[lane]
                    losses[row] -= _step(side, row, x[row], state)
        for lane in range(lanes):
            losses[first + lane] -= dot(residual[lane], x[first + lane])
