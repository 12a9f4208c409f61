"""k-means on the CPU: k-means++ and Lloyd's iterations, on all threads by BLAS."""

from __future__ import annotations

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray, Kmeans
from gpu_coldstart.engine.cpu_geometry import Closeness, nearest
from gpu_coldstart.engine.cpu_jit import add_scaled, compiled
from gpu_coldstart.engine.cpu_threads import over_rows

__all__ = ["kmeans"]

_MOST_SEED = 2**31 - 1

_CONVERGED = 5e-4
"""Lloyd's iterations end where one lowers the inertia by a smaller share."""


def kmeans(
    points: HostArray, k: int, *, iterations: int, seed: int, restarts: int, seeding_points: int
) -> Kmeans:
    """See :meth:`gpu_coldstart.engine.base.Engine.kmeans`."""
    points = np.ascontiguousarray(points, np.float32)
    best = _from_one_start(points, k, iterations, seed, seeding_points)
    further = np.random.default_rng((seed, 1)).integers(_MOST_SEED, size=restarts - 1)
    for other in further.tolist():
        found = _from_one_start(points, k, iterations, other, seeding_points)
        if found.inertia < best.inertia:
            best = found
    return best


def _from_one_start(
    points: HostArray, k: int, iterations: int, seed: int, seeding_points: int
) -> Kmeans:
    """k-means from one start, chosen on a sample of the points.

    At the paper's size a start among all 70 points a segment, not 20, lowered the inertia by
    0.15 % (of 20 iterations). faiss starts from random points, and ends 0.3 % above ours after 20.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(points))
    sample = np.sort(order[: seeding_points * k or len(points)])
    centroids = _plus_plus(points[sample], k, random)
    before = np.inf
    for _ in range(iterations):
        labels, squares = _assign(points, centroids)
        inertia = float(squares.sum(dtype=np.float64))
        if inertia > (1 - _CONVERGED) * before:
            break
        centroids = _means(points, settle.occupy_all(np, labels, squares, k), k)
        before = inertia
    found, distances = nearest(points, centroids, 1)
    labels = settle.occupy_all(np, found[:, 0], distances[:, 0], k)
    centroids = _means(points, labels, k)
    inertia = float(np.square(points - centroids[labels], dtype=np.float64).sum())
    return Kmeans(centroids, labels, inertia)


def _plus_plus(points: HostArray, k: int, random: np.random.Generator) -> HostArray:
    """``k`` points to start from, by greedy k-means++ (Arthur & Vassilvitskii 2007).

    Each is the one that lowers the inertia most of ``2 + log k``, drawn with probabilities in
    proportion to their squared distances from those chosen before.
    """
    trials = 2 + int(np.log(k))
    squares = np.square(points).sum(axis=1, keepdims=True)
    ones = np.ones_like(squares)
    # |p - q|^2 as one product: (-2 p, 1, |p|^2) times (q, |q|^2, 1).
    left = np.concatenate([points * np.float32(-2), ones, squares], axis=1)
    right = np.ascontiguousarray(np.concatenate([points, squares, ones], axis=1).T)

    def apart(some: HostArray) -> HostArray:
        found: HostArray = left[some] @ right
        np.maximum(found, 0, out=found)
        found[np.arange(len(some)), some] = 0  # but for rounding
        return found

    chosen = [int(random.integers(len(points)))]
    nearest_square = apart(np.array(chosen))[0]
    while len(chosen) < k:
        drawn = np.cumsum(nearest_square, dtype=np.float64)
        candidates = np.searchsorted(drawn, random.random(trials) * drawn[-1], side="right")
        candidates = np.minimum(candidates, len(points) - 1)  # where all are at no distance
        found = np.minimum(apart(candidates), nearest_square)
        best = int(found.sum(axis=1).argmin())
        nearest_square = found[best]
        chosen.append(int(candidates[best]))
    return points[chosen]


def _assign(points: HostArray, centroids: HostArray) -> tuple[HostArray, HostArray]:
    """The nearest centroid of each point, and the squared distance, but for rounding."""
    closeness = Closeness(centroids)
    labels = np.empty(len(points), np.int32)
    squares = np.square(points).sum(axis=1)

    def work(start: int, stop: int) -> None:
        found = closeness(points[start:stop])
        best = found.argmax(axis=1)
        labels[start:stop] = best
        squares[start:stop] -= 2 * found[np.arange(len(best)), best]

    over_rows(len(points), closeness.batch, work)
    return labels, squares


def _means(points: HostArray, labels: HostArray, k: int) -> HostArray:
    """Mean of each segment's points, summed in double precision in the order of the points."""
    sums = np.zeros((k, points.shape[1]))
    _add_to_segments(points, labels, sums)
    return (sums / np.bincount(labels, minlength=k)[:, None]).astype(np.float32)


@compiled
def _add_to_segments(points: HostArray, labels: HostArray, sums: HostArray) -> None:
    for row in range(len(points)):
        add_scaled(np.float64(1), points[row], sums[labels[row]])
