"""What libraries leave open, settled the same way on every engine.

Functions take the array namespace ``xp`` of their arrays (NumPy or CuPy).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gpu_coldstart.engine.base import Array

__all__ = [
    "SPARE",
    "Keys",
    "among_all",
    "as_returned",
    "best_of",
    "in_order",
    "largest_remainder",
    "occupy_all",
    "pair_keys",
    "slack",
]

_EXACT_CELLS = 1 << 24
"""Numbers held at once where ties are settled among all items."""

SPARE = 4
"""Candidates for the best k beyond k: with so many, near ties at the end of a list are rare."""

_ROUNDING = 2.0**-24
"""Relative error of one operation in float32."""


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


def pair_keys(
    xp: Any, queries: Array, items: Array, candidates: Array | None, *, distances: bool
) -> Array:
    """Exact keys of pairs of a query and an item: the smaller, the better.

    Each is summed by itself in double precision, dimension by dimension, so that a pair has the
    same bits in any company; libraries sum in an order that depends on how many queries there are.

    Parameters
    ----------
    queries : Array [n, d] of float32
    items : Array [m, d] of float32
    candidates : Array [n, c] of integers, or None
        Items to pair each query with; None is all of them.
    distances : bool
        Squared Euclidean distances; else inner products, negated.

    Returns
    -------
    Array [n, c or m] of float64
    """
    width = len(items) if candidates is None else candidates.shape[1]
    keys = xp.zeros((len(queries), width), dtype=xp.float64)
    for j in range(queries.shape[1]):
        ours = queries[:, j].astype(xp.float64)[:, None]
        column = items[:, j]
        theirs = (column[None, :] if candidates is None else column[candidates]).astype(xp.float64)
        if distances:
            apart = ours - theirs
            keys += apart * apart
        else:
            keys -= ours * theirs
    return keys


def as_returned(xp: Any, keys: Array, *, distances: bool) -> Array:
    """Exact keys as float32, by which ties are told: distances, or negated inner products."""
    return (xp.sqrt(keys) if distances else keys).astype(xp.float32)


Keys: TypeAlias = Callable[[Array, "Array | None"], Array]
"""Exact keys of some queries (their numbers) with candidates or all items: :func:`pair_keys`."""


def best_of(
    xp: Any,
    queries: Array,
    items: Array,
    candidates: Array,
    *,
    n: int,
    longest: float,
    distances: bool,
    pair: Keys | None = None,
) -> tuple[Array, Array]:
    """The ``n`` best items of each query, ties by smaller index, from a library's candidates.

    A library's scores carry rounding errors that depend on the batch, so that it may leave out an
    item it should not. What it left out can be no better than the worst candidate, but for twice
    the largest such error. Where the n-th is not that far ahead of the worst candidate (ties
    among them), all items are ranked.

    Parameters
    ----------
    queries : Array [q, d] of float32
    items : Array [m, d] of float32
    candidates : Array [q, c] of integers
        The best items as the library has it, in any order; c is more than ``n``, or m.
    longest : float
        Length of the longest item, or more.
    distances : bool
        Smallest Euclidean distance; else largest inner product.
    pair : callable or None
        A faster :func:`pair_keys` of the same bits.

    Returns
    -------
    items : Array [q, n] of int32
    values : Array [q, n] of float32
        Euclidean distances or inner products.
    """

    def plain(rows: Array, some: Array | None) -> Array:
        return pair_keys(xp, queries[rows], items, some, distances=distances)

    pair = pair or plain
    exact = pair(slice(None), candidates)
    chosen, keys = in_order(xp, candidates, as_returned(xp, exact, distances=distances))
    best, least = chosen[:, :n].astype(xp.int32), xp.ascontiguousarray(keys[:, :n])
    if candidates.shape[1] < len(items):
        nth = xp.sort(exact, axis=1)[:, n - 1]
        near = exact.max(axis=1) - nth <= slack(xp, queries, longest, distances=distances)
        among_all(xp, xp.flatnonzero(near), len(items), (best, least), pair, distances=distances)
    return best, least if distances else 0 - least  # no negative null


def among_all(
    xp: Any,
    rows: Array,
    n_items: int,
    out: tuple[Array, Array],
    pair: Keys,
    *,
    distances: bool,
) -> None:
    """Rank all items for some ``rows`` of queries, into theirs of ``out``: the best, their keys."""
    best, least = out
    n = best.shape[1]
    batch = max(1, _EXACT_CELLS // max(1, n_items))
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        full = as_returned(xp, pair(some, None), distances=distances)
        order = xp.argsort(full, axis=1, kind="stable")[:, :n]
        best[some] = order.astype(xp.int32)
        least[some] = xp.take_along_axis(full, order, axis=1)


def slack(xp: Any, queries: Array, longest: float, *, distances: bool) -> Array:
    """How far a library's scores may mislead [queries]: twice the error of a sum of float32.

    Any order of summation errs by at most d units in the last place of the lengths' product;
    a distance, as |c|^2 - 2 q.c too, by at most d + 1 of their sum's square.
    """
    # Squares of small numbers would be lost in float32, and the error with them.
    lengths = xp.sqrt(xp.einsum("ij,ij->i", queries, queries, dtype=xp.float64))
    scale = (lengths + longest) ** 2 if distances else lengths * longest
    return 2 * (queries.shape[1] + 16) * _ROUNDING * scale


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
