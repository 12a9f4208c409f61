"""The best of all items for each query: products by blocks that stay in the cache, and one pass
over each that keeps what may be among the best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.jit import compiled_strictly
from gpu_coldstart.engine.cpu.pairs import keys_of
from gpu_coldstart.engine.cpu.threads import Arena, number_of_threads, over_rows

__all__ = ["Multiply", "search"]

_QUERIES = 512
"""Queries that a thread takes at once; more where the items are few."""

_SCORES = 1 << 18
"""Scores that it looks at in one pass, so that they stay in the cache."""

_LANES = 32
"""Lanes, at least; and 4 for each item that is asked for."""

Multiply: TypeAlias = Callable[[slice, slice, HostArray], None]
"""Fills products [q, m] of a slice of queries with one of items."""


def search(
    queries: HostArray,
    items: HostArray,
    multiply: Multiply,
    offsets: HostArray,
    margins: HostArray,
    *,
    n: int,
    distances: bool,
    eager: bool = False,
) -> tuple[HostArray, HostArray, HostArray]:
    """The ``n`` best items of each query by exact keys, ties by smaller index.

    Parameters
    ----------
    queries : array [q, d] of float32
    items : array [m, d] of float32
    multiply : callable
        Products, but for errors.
    offsets : array [m] of float32
        Taken from an item's products, to make scores that are largest for the best.
    margins : array [q] of float32
        By how much two scores may stand in the wrong order, at most.
    n : int
    distances : bool
        What keys are: :func:`gpu_coldstart.engine.settle.pair_keys`.
    eager : bool
        Look for the least score to keep in every block, though it rise late and often.

    Returns
    -------
    items : array [q, n] of int32
    keys : array [q, n] of float32
        As :func:`gpu_coldstart.engine.settle.as_returned` has them.
    crowded : array of int64
        Queries left open, as more items are within the margin than are kept.
    """
    best = np.empty((len(queries), n), np.int32)
    keys = np.empty((len(queries), n), np.float32)
    crowded = np.zeros(len(queries), bool)
    lanes = max(_LANES, 4 * n)
    share = -(-len(queries) // number_of_threads())
    run = max(1, min(len(queries), max(_QUERIES, min(share, _SCORES // len(items)))))
    wide = min(len(items), max(_QUERIES, 4 * lanes, _SCORES // max(1, run)))

    def work(start: int, stop: int) -> None:
        with Arena.taken() as arena:
            look(start, stop, arena)

    def look(start: int, stop: int, arena: Arena) -> None:
        room = min(len(items), 3 * n + _LANES)
        kept = _Kept(arena, (stop - start, room, lanes), margins[start:stop])
        flags = arena.array("flags", (-(-wide // 8) * 8,), np.uint8)
        for number, first in enumerate(range(0, len(items), wide)):
            some = slice(first, min(first + wide, len(items)))
            scores = arena.array("scores", (stop - start, some.stop - first), np.float32)
            multiply(slice(start, stop), some, scores)
            _raise(scores, offsets[some], kept.highest)
            # Later blocks change less and less.
            if eager or number & (number - 1) == 0:
                kept.limit(n)
            _keep(scores, offsets[some], first, kept.state, (flags, flags.view(np.uint64)))
        if number:
            kept.limit(n)
        crowded[start:stop] = kept.held < n
        best[start:stop], keys[start:stop] = _ranked(
            queries[start:stop], items, kept, n, distances=distances
        )

    over_rows(len(queries), run, work)
    return best, keys, np.flatnonzero(crowded)


class _Kept:
    """What may be among the best of some queries.

    Items are dealt out to lanes in turn. The n-th highest of the lanes' maxima is never above the
    n-th best score, and hardly below; to find it costs little.

    Attributes
    ----------
    state : tuple of array
        Scores kept [q, room] of float32, their items of int32, how many [q] of int64 (-1: more
        than there is room for), and the least score to keep [q] of float32.
    highest : array [q, lanes] of float32
    """

    def __init__(self, arena: Arena, sizes: tuple[int, int, int], margins: HostArray):
        n, room, lanes = sizes
        self.names = arena.array("names", (n, room), np.int32)
        self.held = np.zeros(n, np.int64)
        limits = np.full(n, -np.inf, np.float32)
        kept = arena.array("kept", (n, room), np.float32)
        self.state = kept, self.names, self.held, limits
        self.highest = arena.array("lanes", (n, lanes), np.float32)
        self.highest.fill(-np.inf)
        self._margins = margins

    def limit(self, n: int) -> None:
        """Raise the limits, and drop what is below them now."""
        place = self.highest.shape[1] - n
        least = np.partition(self.highest, place, axis=1)[:, place]
        np.subtract(least, self._margins, out=self.state[3])
        _drop(self.state)


def _ranked(
    queries: HostArray, items: HostArray, kept: _Kept, n: int, *, distances: bool
) -> tuple[HostArray, HostArray]:
    """The best ``n`` of what was kept for each query; where that is less, anything.

    One sort of integers, the key's bits before the item's number, settles all ties.
    """
    held = kept.held
    names = np.ascontiguousarray(kept.names[:, : max(n, int(held.max(initial=0)))])
    exact = keys_of(queries, items, names, held, distances=distances)
    packed = np.empty(names.shape, np.uint64)
    bits = settle.as_returned(np, exact, distances=distances)
    _pack((bits + np.float32(0)).view(np.uint32), names, held, packed)
    packed.sort(axis=1)
    packed = packed[:, :n]
    bits = (packed >> np.uint64(32)).astype(np.uint32)
    bits = np.where(bits >> 31, bits ^ np.uint32(1 << 31), ~bits)
    return (packed & np.uint64(0x7FFFFFFF)).astype(np.int32), bits.view(np.float32)


@compiled_strictly
def _pack(bits: HostArray, names: HostArray, held: HostArray, packed: HostArray) -> None:
    """Integers in the order of numbers, given as their bits, and of items where they are equal."""
    for row in range(len(packed)):
        for place in range(packed.shape[1]):
            if place < held[row]:
                mine = np.uint64(bits[row, place])
                negative = mine >> np.uint64(31)
                mine = ~mine & np.uint64(0xFFFFFFFF) if negative else mine | np.uint64(1 << 31)
                packed[row, place] = (mine << np.uint64(32)) | np.uint64(names[row, place])
            else:
                packed[row, place] = np.uint64(0xFFFFFFFFFFFFFFFF)


_State: TypeAlias = tuple[HostArray, HostArray, HostArray, HostArray]


@compiled_strictly
def _raise(scores: HostArray, offsets: HostArray, highest: HostArray) -> None:
    """Raise each lane to the highest of its scores."""
    width, lanes = scores.shape[1], highest.shape[1]
    for row in range(len(scores)):
        top = highest[row]
        for first in range(0, width, lanes):
            line, taken = scores[row, first : first + lanes], offsets[first : first + lanes]
            for j in range(len(line)):
                score = line[j] - taken[j]
                top[j] = score if score > top[j] else top[j]


@compiled_strictly
def _keep(
    scores: HostArray,
    offsets: HostArray,
    first: int,
    state: _State,
    flags: tuple[HostArray, HostArray],
) -> None:
    """Add the items, from ``first`` on, whose score is not below the limit."""
    kept, names, held, limits = state
    marks, words = flags
    room, width = kept.shape[1], scores.shape[1]
    for row in range(len(scores)):
        line, mine, known, limit = scores[row], kept[row], names[row], limits[row]
        count = held[row]
        if count < 0:
            continue
        for j in range(len(line)):
            marks[j] = line[j] - offsets[j] >= limit
        for word in range((width + 7) // 8):
            if words[word] == 0:
                continue
            for j in range(8 * word, min(8 * word + 8, width)):
                if marks[j] == 0 or count < 0:
                    continue
                if count == room:
                    count = -1
                    continue
                mine[count], known[count] = line[j] - offsets[j], first + j
                count += 1
        held[row] = count


@compiled_strictly
def _drop(state: _State) -> None:
    """Drop what is below the limit."""
    kept, names, held, limits = state
    for row in range(len(kept)):
        left = min(np.int64(0), held[row])
        for i in range(held[row]):
            kept[row, left], names[row, left] = kept[row, i], names[row, i]
            left += kept[row, i] >= limits[row]
        held[row] = left
