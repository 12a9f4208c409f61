"""k-means on the CPU: k-means++ and Lloyd's iterations, on all threads by BLAS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray, Kmeans, KmeansOptions
from gpu_coldstart.engine.cpu.geometry import Closeness
from gpu_coldstart.engine.cpu.jit import add_scaled, compiled, squared_distance
from gpu_coldstart.engine.cpu.threads import one_blas_thread, over_rows

__all__ = ["add_to_segments", "assign", "kmeans", "lloyd"]

_MOST_SEED = 2**31 - 1

_DRAWN = 128
"""Draws of the start whose distances are computed at once."""

_CONVERGED = 5e-4
"""Lloyd's iterations end where one lowers the inertia by a smaller share."""


def kmeans(points: HostArray, options: KmeansOptions) -> Kmeans:
    """See :meth:`gpu_coldstart.engine.base.Engine.kmeans`."""
    points = np.ascontiguousarray(points, np.float32)
    best = _from_one_start(points, options, options.seed)
    further = np.random.default_rng((options.seed, 1)).integers(
        _MOST_SEED, size=options.restarts - 1
    )
    for seed in further.tolist():
        other = _from_one_start(points, options, seed)
        if other.inertia < best.inertia:
            best = other
    return best


def _from_one_start(points: HostArray, options: KmeansOptions, seed: int) -> Kmeans:
    """k-means from one start, chosen on a sample of the points.

    At the paper's size a start among all 70 points a segment, not 20, lowered the inertia by
    0.15 % (of 20 iterations). faiss starts from random points, and ends 0.3 % above ours after 20.
    """
    k, iterations = options.k, options.iterations
    random = np.random.default_rng(seed)
    lengths = np.square(points).sum(axis=1)
    order = random.permutation(len(points))
    sample = np.sort(order[: options.seeding_points * k or len(points)])
    centroids = _plus_plus(points[sample], lengths[sample], k, random)
    labels = np.empty(len(points), np.int32)

    def step(centroids: HostArray) -> tuple[HostArray, float]:
        nearest, squares = assign(points, lengths, centroids)
        labels[:] = settle.occupy_all(np, nearest, squares, k)
        return _means(points, labels, k), float(squares.sum(dtype=np.float64))

    with one_blas_thread():
        centroids = lloyd(step, centroids, iterations)
    return Kmeans(centroids, labels, _inertia(points, centroids, labels))


def lloyd(
    step: Callable[[HostArray], tuple[HostArray, float]], centroids: HostArray, iterations: int
) -> HostArray:
    """Centroids [k, d] after Lloyd's iterations, which end where one gains too little.

    Parameters
    ----------
    step : callable
        From centroids to the means of the points that are nearest to each, and these points'
        squared distances from the centroids, added up.
    """
    before = np.inf
    for _ in range(iterations + 1):
        centroids, inertia = step(centroids)
        if inertia > (1 - _CONVERGED) * before:
            break
        before = inertia
    return centroids


def _plus_plus(
    points: HostArray, lengths: HostArray, k: int, random: np.random.Generator
) -> HostArray:
    """``k`` points to start from, by greedy k-means++ (Arthur & Vassilvitskii 2007).

    Each is the one that lowers the inertia most of ``2 + log k``, drawn with probabilities in
    proportion to their squared distances from those chosen before. One matrix product serves the
    draws of many steps: those by the distances of an earlier one are thinned to the step's own.
    """
    n, trials = len(points), 2 + int(np.log(k))
    ones = np.ones((n, 1), np.float32)
    # |p - q|^2 as one product: (-2 p, 1, |p|^2) times (q, |q|^2, 1).
    left = np.concatenate([points * np.float32(-2), ones, lengths[:, None]], axis=1)
    right = np.ascontiguousarray(np.concatenate([points, lengths[:, None], ones], axis=1).T)
    chosen = np.empty(k, np.int64)
    chosen[0] = random.integers(n)
    squares = np.maximum(left[chosen[0]] @ right, 0)
    apart = np.empty((max(trials, _DRAWN), n), np.float32)
    steps = 1
    while steps < k:
        summed = np.cumsum(squares, dtype=np.float64)
        drawn = np.searchsorted(summed, random.random(len(apart)) * summed[-1], side="right")
        drawn = np.minimum(drawn, n - 1)  # where all are at no distance
        np.matmul(left[drawn], right, out=apart)
        least = random.random(len(apart)) * squares[drawn]
        steps = _choose((drawn, apart, least), squares, chosen, (steps, trials))
    return points[chosen]


@compiled
def _choose(
    draws: tuple[HostArray, HostArray, HostArray],
    squares: HostArray,
    chosen: HostArray,
    place: tuple[int, int],
) -> int:
    """Fill ``chosen`` from a step on, while there are draws; returns the step then.

    ``draws`` are points, their squared distances from all, and how far a point must still be from
    those ``chosen``; ``squares`` is how far each is. ``place`` is the step and how many draws it
    takes.
    """
    drawn, apart, least = draws
    step, trials = place
    tried = np.empty(trials, np.int64)
    taken = 0
    for i in range(len(drawn)):
        if step == len(chosen) or squares[drawn[i]] < least[i]:
            continue
        tried[taken] = i
        taken += 1
        if taken < trials:
            continue
        taken, best, lowest = 0, tried[0], np.inf
        for candidate in tried:
            inertia = 0.0
            for j in range(len(squares)):
                inertia += min(squares[j], apart[candidate, j])
            if inertia < lowest:
                best, lowest = candidate, inertia
        for j in range(len(squares)):
            squares[j] = max(np.float32(0), min(squares[j], apart[best, j]))
        squares[drawn[best]] = np.float32(0)  # but for rounding
        chosen[step] = drawn[best]
        step += 1
    return step


def assign(
    points: HostArray, lengths: HostArray, centroids: HostArray
) -> tuple[HostArray, HostArray]:
    """The nearest centroid of each point, and the squared distance, but for rounding."""
    closeness = Closeness(centroids, len(points))
    labels = np.empty(len(points), np.int32)
    squares = np.empty_like(lengths)

    def work(start: int, stop: int) -> None:
        close = closeness(points[start:stop])
        best = close.argmax(axis=1)
        labels[start:stop] = best
        squares[start:stop] = lengths[start:stop] - 2 * close[np.arange(len(best)), best]

    over_rows(len(points), closeness.batch, work)
    return labels, squares


def _means(points: HostArray, labels: HostArray, k: int) -> HostArray:
    """Mean of each segment's points, summed in double precision in the order of the points."""
    sums = np.zeros((k, points.shape[1]))
    add_to_segments(points, labels, sums)
    return (sums / np.bincount(labels, minlength=k)[:, None]).astype(np.float32)


@compiled
def add_to_segments(points: HostArray, labels: HostArray, sums: HostArray) -> None:
    """Add points [n, d] of float32 to the sums of their segments [k, d] of float64."""
    for row in range(len(points)):
        add_scaled(np.float64(1), points[row], sums[labels[row]])


@compiled
def _inertia(points: HostArray, centroids: HostArray, labels: HostArray) -> float:
    """Sum of squared distances from the segments' centroids, added up in double precision."""
    total = 0.0
    for row in range(len(points)):
        total += float(squared_distance(points[row], centroids[labels[row]]))
    return total
