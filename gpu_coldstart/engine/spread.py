"""Fits of what is spread over processes: the parts of the sums, and what they come to.

A process works on the rows that it has, on its CPU, with the code of the CPU engine; whoever puts
the parts together never holds the matrix, nor the users' factors or places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import AlsOptions, Csr, HostArray
from gpu_coldstart.engine.cpu.als import ARRIVED, add_pulls, gram_of, solve, start
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.engine.cpu.kmeans import add_to_segments, assign, lloyd
from gpu_coldstart.engine.cpu.products import times_dense
from gpu_coldstart.engine.cpu.spaces import pmi_of_rows, svd_by, totals_of
from gpu_coldstart.engine.cpu.sparse import to_scipy

__all__ = [
    "CpuEngine",
    "Crowd",
    "Cut",
    "Far",
    "Spread",
    "add_points",
    "als",
    "farthest",
    "gram_of",
    "kmeans",
    "labels_of",
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
    return times_dense(to_scipy(matrix), dense)


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


def add_points(points: HostArray, centroids: HostArray, out: HostArray) -> None:
    """Add points [n, d] of float32 to the sums of the segments in which they are.

    Parameters
    ----------
    centroids : HostArray [k, d] of float32
    out : HostArray [k, d + 2] of float64
        Of each segment, the sum of its points, their number, and the sum of their squared
        distances from the centroid.
    """
    labels, squares = _nearest(points, centroids)
    once = np.ones(len(points), np.float32)
    add_to_segments(np.column_stack([points, once, squares]), labels, out)


class Far(NamedTuple):
    """Points that are far from their centroids.

    Attributes
    ----------
    numbers, labels : HostArray [n] of int32
    squares : HostArray [n] of float32
        Squared distances from the centroids.
    points : HostArray [n, d] of float32
    """

    numbers: HostArray
    labels: HostArray
    squares: HostArray
    points: HostArray


def farthest(
    numbers: HostArray, points: HostArray, centroids: HostArray, several: HostArray, n: int
) -> Far:
    """The ``n`` points farthest from their centroids; of equals, the first.

    Parameters
    ----------
    numbers : HostArray [points] of int32
        By which all points are told apart.
    several : HostArray [k] of bool
        Only points of these segments.
    """
    labels, squares = _nearest(points, centroids)
    some = np.flatnonzero(several[labels])
    some = some[np.argsort(-squares[some], kind="stable")[:n]]
    return Far(numbers[some], labels[some], squares[some], points[some])


class Crowd(Protocol):
    """Points, wherever they are."""

    def sums(self, centroids: HostArray) -> HostArray:
        """The sum of what all points add (:func:`add_points`) [k, d + 2] of float64."""

    def farthest(self, centroids: HostArray, several: HostArray, n: int) -> Far:
        """The farthest of all points (:func:`farthest`), farthest first; of equals, the first."""


class Cut(NamedTuple):
    """Segments of points that are spread over processes.

    Attributes
    ----------
    centroids : HostArray [k, d] of float32
        Mean of each segment's points.
    before : HostArray [k, d] of float32
        A segment's points are those to which its row of these is the nearest,
    moved : (HostArray of int32, HostArray of int32)
        but for points of these numbers, which are in these segments, nearest to nobody.
    sizes : HostArray [k] of int64
    inertia : float
        Sum of squared distances from the centroids.
    """

    centroids: HostArray
    before: HostArray
    moved: tuple[HostArray, HostArray]
    sizes: HostArray
    inertia: float


def labels_of(cut: Cut, numbers: HostArray, points: HostArray) -> HostArray:
    """Segment of each of some points [n, d] of float32, whose numbers are given [n] of int32."""
    labels, _ = _nearest(points, cut.before)
    for number, label in zip(*cut.moved, strict=True):
        labels[numbers == number] = label
    return labels


def kmeans(
    crowd: Crowd, centroids: HostArray, iterations: int, progress: Callable[[int, float], None]
) -> Cut:
    """Lloyd's iterations of the CPU engine, but for the order of sums, from some centroids.

    Parameters
    ----------
    centroids : HostArray [k, d] of float32
    progress : callable
        Called with the number of an iteration and the inertia before.
    """
    passes, last = 0, None

    def step(before: HostArray) -> tuple[HostArray, float]:
        nonlocal passes, last
        sums = crowd.sums(before)
        inertia = float(sums[:, -1].sum())
        progress(passes, inertia)
        passes += 1
        moved = _occupied(crowd, before, sums)
        means = (sums[:, :-2] / sums[:, -2:-1]).astype(np.float32)
        # The squared distances from the mean are those from elsewhere less how far that is away.
        away = _products(means - before, means - before) * sums[:, -2]
        after = np.maximum(sums[:, -1] - away, 0).sum()
        last = Cut(means, before, moved, sums[:, -2].astype(np.int64), float(after))
        return means, inertia

    lloyd(step, centroids, iterations)
    assert last is not None  # there is a step at least
    return last


def _occupied(crowd: Crowd, centroids: HostArray, sums: HostArray) -> tuple[HostArray, HostArray]:
    """Give empty segments points by :func:`settle.occupy_all`, and ``sums`` what that changes.

    Returns
    -------
    HostArray of int32, HostArray of int32
        Numbers of the points that moved, and their segments.
    """
    counts = sums[:, -2].astype(np.int64)
    empty = int((counts == 0).sum())
    if not empty:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    # Every second one may be the nearest of its segment, which stays.
    far = crowd.farthest(centroids, counts > 1, 2 * empty)
    nearer = np.flatnonzero(counts > np.bincount(far.labels, minlength=len(counts)))
    labels = settle.occupy_all(
        np,
        np.concatenate([far.labels, nearer]),
        np.concatenate([far.squares, np.full(len(nearer), -1, np.float32)]),
        len(counts),
    )[: len(far.labels)]
    moves = np.flatnonzero(labels != far.labels)
    points, old, new = far.points[moves].astype(np.float64), far.labels[moves], labels[moves]
    once = np.ones(len(moves))
    np.subtract.at(sums, old, np.column_stack([points, once, far.squares[moves]]))
    away = np.square(points - centroids[new]).sum(axis=1)
    sums[new] = np.column_stack([points, once, away])
    return far.numbers[moves], new.astype(np.int32)


def _nearest(points: HostArray, centroids: HostArray) -> tuple[HostArray, HostArray]:
    """The nearest centroid of each point, and the squared distance."""
    return assign(points, np.square(points).sum(axis=1), centroids)
