"""Spaces of matrices that are spread over processes: the parts of the sums, and what they come to.

A process works on the rows that it has, on its CPU, with the code of the CPU engine; whoever puts
the parts together never holds the matrix, nor the users' factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from gpu_coldstart.engine.base import AlsOptions, Csr, HostArray
from gpu_coldstart.engine.cpu.als import ARRIVED, add_pulls, gram_of, solve, start
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.engine.cpu.products import product
from gpu_coldstart.engine.cpu.spaces import pmi_of_rows, svd_by, totals_of
from gpu_coldstart.engine.cpu.sparse import to_scipy

__all__ = [
    "CpuEngine",
    "Spread",
    "als",
    "pmi_of_rows",
    "pulls",
    "solved",
    "start",
    "svd_by",
    "times",
    "totals_of",
]


def times(matrix: Csr, dense: HostArray) -> HostArray:
    """Sparse times dense [columns, d] of float32."""
    return product(to_scipy(matrix), dense)


def solved(
    confidence: Csr, users: HostArray, tracks: HostArray, gram: HostArray, options: AlsOptions
) -> HostArray:
    """Users' factors [users, d] after their half of an iteration, from those before."""
    moved = np.array(users)
    solve(to_scipy(confidence), moved, tracks, gram, options.cg_steps)
    return moved


def pulls(
    confidence: Csr, users: HostArray, vectors: HostArray, out: HostArray, *, first: bool
) -> None:
    """Add what some users add to the equations of tracks.

    Parameters
    ----------
    confidence : Csr [users, tracks]
    users : HostArray [users, d] of float32
    vectors : HostArray [tracks, d] of float32
    out : HostArray [tracks + d, d + 1] of float32
        For tracks, as :func:`gpu_coldstart.engine.cpu.als.add_pulls`; below these, ``first``, the
        users' Gramian.
    """
    d = users.shape[1]
    add_pulls(to_scipy(confidence), users, vectors, out[:-d], first=first)
    if first:
        out[-d:, :-1] += users.T @ users


class Spread(Protocol):
    """Confidence of users in tracks, and the users' factors, wherever they are.

    Attributes
    ----------
    shape : (users, tracks)
    total : float
        Sum of all entries.
    """

    shape: tuple[int, int]
    total: float

    def solve(self, tracks: HostArray, gram: HostArray) -> None:
        """The users' half of an iteration (:func:`solved`)."""

    def pulls(self, vectors: HostArray, *, first: bool) -> HostArray:
        """The sum of what all users add (:func:`pulls`) [tracks + d, d + 1]."""


def als(spread: Spread, options: AlsOptions, progress: Callable[[int, float], None]) -> HostArray:
    """As :meth:`gpu_coldstart.engine.base.Engine.als`, but for the order of sums; tracks only.

    Every step of the tracks' conjugate gradients is one pass over the users: for all tracks at
    once, as those of one track are with all users.

    Returns
    -------
    HostArray [tracks, factors] of float32
        Null rows for tracks without entries.
    """
    n_users, n_tracks = spread.shape
    tracks = start(options, n_users, n_tracks)
    for iteration in range(options.iterations):
        spread.solve(tracks, gram_of(tracks, options))
        loss = _solve_tracks(spread, tracks, options)
        progress(iteration, loss / (n_users * n_tracks))
    return tracks


def _solve_tracks(spread: Spread, x: HostArray, options: AlsOptions) -> float:
    """The tracks' half of an iteration; the objective then.

    The residual and its losses are those of :func:`gpu_coldstart.engine.cpu.als.solve`.
    """
    d = x.shape[1]
    sums = spread.pulls(x, first=True)
    (r, explained), gram = _parts(sums), sums[-d:, :-1].copy()
    loss = spread.total + options.regularization * float(np.trace(gram, dtype=np.float64))
    loss -= float(explained.sum())
    gram += np.float32(options.regularization) * np.eye(d, dtype=np.float32)
    x[~sums[:-d].any(axis=1)] = 0  # the solution where there is no entry
    r -= x @ gram
    p, after = r.copy(), _products(r, r)
    for _ in range(options.cg_steps):
        pulled, explained = _parts(spread.pulls(p, first=False))
        q = p @ gram + pulled
        before, going = after, after >= ARRIVED
        length = np.divide(before, _products(p, q), out=np.zeros_like(before), where=going)
        x += length[:, None].astype(np.float32) * p
        r -= length[:, None].astype(np.float32) * q
        after = _products(r, r)
        again = np.divide(after, before, out=np.zeros_like(before), where=going)
        p = r + again[:, None].astype(np.float32) * p
        loss -= float(length @ explained)
    return loss - float(_products(r, x).sum())


def _parts(sums: HostArray) -> tuple[HostArray, HostArray]:
    """What is pulled of tracks [tracks, d], and what that explains [tracks] of float64."""
    d = sums.shape[1] - 1
    return sums[:-d, :-1].copy(), sums[:-d, -1].astype(np.float64)


def _products(left: HostArray, right: HostArray) -> HostArray:
    """Inner product of each two rows [rows] of float64."""
    products: HostArray = np.einsum("ij,ij->i", left, right, dtype=np.float64)
    return products
