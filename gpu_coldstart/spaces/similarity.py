"""How alike places and items of a space are, always as an inner product."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.registry import SPACES
from gpu_coldstart.spaces.base import unit_rows

__all__ = ["Retriever", "as_items", "as_places", "similarity_in"]


def similarity_in(space: str, chosen: str) -> str:
    """The similarity by which a space is searched: its own, else the chosen one.

    Examples
    --------
    >>> similarity_in("tt-svd", "inner"), similarity_in("cml", "inner")
    ('inner', 'distance')
    """
    return str(getattr(SPACES.get(space), "similarity", chosen))


def as_items(xp: Any, items: Array, similarity: str) -> Array:
    """Items such that their inner products with :func:`as_places` are the similarities.

    By the distance, the similarity of a place u and an item v is ``u.v - |v|^2 / 2``, which is
    half of what ``-|u - v|^2`` is without the square of u, the same for all items. A null row is
    nowhere: it ranks as if it lay aside, at twice the length of the longest.

    Parameters
    ----------
    xp : module
        The engine's array namespace.
    items : Array [n, d] of float32
    similarity : {"cosine", "inner", "distance"}

    Returns
    -------
    Array [n, d] of float32, or [n, d + 1] by the distance
    """
    if similarity == "cosine":
        return unit_rows(items)
    if similarity == "inner":
        return items
    squares = (items * items).sum(axis=1, keepdims=True)
    return xp.concatenate([items, xp.where(squares > 0, squares, 4 * squares.max()) / -2], axis=1)


def as_places(xp: Any, places: Array, similarity: str) -> Array:
    """Places [n, d] of float32 to go with :func:`as_items`."""
    if similarity == "cosine":
        return unit_rows(places)
    if similarity == "inner":
        return places
    return xp.concatenate([places, xp.ones((len(places), 1), dtype=xp.float32)], axis=1)


class Retriever:
    """Items as points of a space, ranked by their similarity to places in it.

    Parameters
    ----------
    engine : Engine
    items : Array [items, d] of float32
    similarity : {"cosine", "inner", "distance"}
    """

    def __init__(self, engine: Engine, items: Array, similarity: str):
        self._engine, self._similarity = engine, similarity
        self._items = as_items(engine.xp, items, similarity)
        self._longest = engine.longest(self._items)

    def rank(self, places: Array, k: int) -> tuple[Array, Array]:
        """The ``k`` items most similar to each place [n, d], best first.

        Returns
        -------
        items : Array [n, k] of int32
        scores : Array [n, k] of float32
        """

        def top(some: slice) -> tuple[Array, ...]:
            queries = as_places(self._engine.xp, places[some], self._similarity)
            return self._engine.top_k(queries, self._items, k, longest=self._longest)

        return by_batches(self._engine.xp, len(places), top)
