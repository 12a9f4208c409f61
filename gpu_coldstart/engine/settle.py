"""What libraries leave open, settled the same way on every engine.

Functions take the array namespace ``xp`` of their arrays (NumPy or CuPy).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_coldstart.engine.base import Array

__all__ = ["in_order", "largest_remainder", "nearest_first", "occupy_all", "settle_ties"]

_EXACT_CELLS = 1 << 24
"""Numbers held at once where ties are settled among all candidates."""


def in_order(xp: Any, indices: Array, keys: Array) -> tuple[Array, Array]:
    """Sort each row by key, equal keys by smaller index.

    Parameters
    ----------
    indices : Array [n, k] of integers
    keys : Array [n, k]

    Examples
    --------
    >>> import numpy as np
    >>> in_order(np, np.array([[7, 3, 5]]), np.array([[2, 2, 1]]))[0].tolist()
    [[5, 3, 7]]
    """
    by_index = xp.argsort(indices, axis=1, kind="stable")
    indices = xp.take_along_axis(indices, by_index, axis=1)
    keys = xp.take_along_axis(keys, by_index, axis=1)
    by_key = xp.argsort(keys, axis=1, kind="stable")
    return xp.take_along_axis(indices, by_key, axis=1), xp.take_along_axis(keys, by_key, axis=1)


def nearest_first(
    xp: Any, points: Array, centroids: Array, labels: Array, *, n: int
) -> tuple[Array, Array]:
    """The ``n`` nearest of found centroids at their exact distances, ties by smaller label.

    Libraries expand ``|a - b|^2``, which is inexact near a centroid, and near is what is asked
    for.

    Parameters
    ----------
    points : Array [p, d] of float32
    centroids : Array [m, d] of float32
    labels : Array [p, min(n + 1, m) or more] of integers
        The nearest centroids as the library has it, in any order.

    Returns
    -------
    labels : Array [p, n] of int32
    distances : Array [p, n] of float32
        Euclidean.
    """
    distances = xp.empty(labels.shape, dtype=xp.float32)
    for place in range(labels.shape[1]):
        distances[:, place] = xp.linalg.norm(points - centroids[labels[:, place]], axis=1)

    def all_distances(rows: Array) -> Array:
        return xp.linalg.norm(points[rows][:, None] - centroids[None], axis=2)

    batch = max(1, _EXACT_CELLS // max(1, centroids.size))
    return _first(xp, labels, distances, all_distances, n=n, batch=batch)


def settle_ties(
    xp: Any, queries: Array, items: Array, found: Array, scores: Array, *, k: int
) -> tuple[Array, Array]:
    """The ``k`` best of found items, ties by smaller index.

    Parameters
    ----------
    queries : Array [n, d] of float32
    items : Array [m, d] of float32
    found, scores : Array [n, min(k + 1, m) or more]
        Items of largest inner product, in any order.

    Returns
    -------
    items : Array [n, k] of int32
    scores : Array [n, k] of float32
    """
    batch = max(1, _EXACT_CELLS // max(1, len(items)))
    best, negated = _first(
        xp, found, -scores, lambda rows: -(queries[rows] @ items.T), n=k, batch=batch
    )
    return best, -negated


def _first(
    xp: Any,
    found: Array,
    keys: Array,
    all_keys: Callable[[Array], Array],
    *,
    n: int,
    batch: int,
) -> tuple[Array, Array]:
    """The ``n`` of smallest key, equal keys by smaller index.

    A library does not say which of equal candidates it keeps at the end of a list. One more than
    asked for shows where that matters; only there are all candidates ranked, ``batch`` rows at
    once, by ``all_keys(rows)``.
    """
    found, keys = in_order(xp, found, keys)
    best, least = found[:, :n].astype(xp.int32), xp.ascontiguousarray(keys[:, :n])
    if found.shape[1] > n:
        tied = xp.flatnonzero(keys[:, n - 1] == keys[:, n])
        for start in range(0, len(tied), batch):
            rows = tied[start : start + batch]
            full = all_keys(rows)
            order = xp.argsort(full, axis=1, kind="stable")[:, :n]
            best[rows] = order.astype(xp.int32)
            least[rows] = xp.take_along_axis(full, order, axis=1)
    return best, least


def occupy_all(xp: Any, labels: Array, distances: Array, k: int) -> Array:
    """Give each empty segment the point farthest from its centroid in a segment of several.

    Parameters
    ----------
    labels : Array [n] of integers below k
    distances : Array [n]
        Of each point from its centroid.

    Returns
    -------
    Array [n]
        Every label occurs, if there are ``k`` points.
    """
    empty = xp.flatnonzero(xp.bincount(labels, minlength=k) == 0)
    if len(empty) == 0:
        return labels
    farthest = xp.argsort(-distances, kind="stable")
    # The nearest point of a segment stays, so that none is emptied to fill another.
    _, stays = xp.unique(labels[farthest[::-1]], return_index=True)
    moves = xp.ones(len(farthest), dtype=bool)
    moves[len(farthest) - 1 - stays] = False
    movable = farthest[moves]
    labels = labels.copy()
    labels[movable[: len(empty)]] = empty.astype(labels.dtype)
    return labels


def largest_remainder(xp: Any, weights: Array, slots: int) -> Array:
    """Whole slots in proportion to the weights; equal remainders: earlier segment first.

    Parameters
    ----------
    weights : Array [n, s]
        Each row sums to 1, but for rounding.

    Returns
    -------
    Array [n, s] of int64
        Each row sums to ``slots``.

    Examples
    --------
    >>> import numpy as np
    >>> largest_remainder(np, np.array([[0.5, 0.3, 0.2]]), 4).tolist()
    [[2, 1, 1]]
    """
    ideal = weights.astype(xp.float64) * slots
    whole = xp.floor(ideal).astype(xp.int64)
    # A row of weights can miss 1 by a rounding, so the rest is what the floors leave.
    rest = slots - whole.sum(axis=1)
    by_remainder = xp.argsort(-(ideal - whole), axis=1, kind="stable")
    rank = xp.argsort(by_remainder, axis=1, kind="stable")
    return whole + (rank < rest[:, None])
