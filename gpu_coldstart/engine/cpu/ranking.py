"""Ranked lists on the CPU: the best of sparse rows, soft allocation, what was seen, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpu_coldstart.batches import batches
from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Csr, HostArray, RankMetrics
from gpu_coldstart.engine.cpu.small import small
from gpu_coldstart.engine.cpu.sparse import to_scipy

__all__ = ["drop_seen", "rank_metrics", "row_top", "soft_allocate", "stored"]

_LONG = 4
"""A row of more than so many times the entries asked for is thinned before it is sorted."""

_DEEP = 8
"""Times the tracks that a segment offers: so many of its favourites rank a blend of segments."""

_ROUNDING = 1e-5
"""By how much a sum of float32 may be off, and more."""

_MARKS = 1 << 21
"""Cells of a matrix that are marked at once, few enough for a cache."""

_BATCH_ENTRIES = 8_000_000
"""Sparse entries worked on at once (8 bytes of sort key each, and a few copies)."""


def row_top(matrix: Csr, depth: int) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.row_top`.

    Each entry becomes one 64-bit key, (row, value descending, column), so that a plain sort of
    integers ranks all rows of a batch at once. Bits of positive float32 values order like the
    values themselves. A row's columns may be in any order.
    """
    n_rows, n_columns = matrix.shape
    if depth > n_columns:
        raise ValueError(f"depth {depth} exceeds the {n_columns} columns")
    if depth and not small(matrix.nnz):
        from gpu_coldstart.engine.cpu.tally import best_entries

        columns, values = best_entries(matrix, depth)
        _fill_up(columns, (values > 0).sum(axis=1))
        return columns, values
    columns = np.empty((n_rows, depth), np.int32)
    values = np.empty((n_rows, depth), np.float32)
    column_bits = max(1, int(n_columns - 1).bit_length())
    most_rows = 1 << (32 - column_bits)
    for start, stop in _row_batches(matrix.indptr, most_rows):
        columns[start:stop], values[start:stop] = _batch_top(
            matrix, start, stop, depth, column_bits
        )
    return columns, values


def _row_batches(indptr: HostArray, most_rows: int) -> list[tuple[int, int]]:
    """Cut rows into runs of at most ``most_rows`` rows and about ``_BATCH_ENTRIES`` entries."""
    batches, start, n_rows = [], 0, len(indptr) - 1
    while start < n_rows:
        fits = int(np.searchsorted(indptr, indptr[start] + _BATCH_ENTRIES, side="right")) - 1
        stop = min(max(fits, start + 1), start + most_rows, n_rows)
        batches.append((start, stop))
        start = stop
    return batches


def _batch_top(
    matrix: Csr, start: int, stop: int, depth: int, column_bits: int
) -> tuple[HostArray, HostArray]:
    """Best ``depth`` entries of the rows ``start`` to ``stop``, filled up at value 0."""
    low, high = int(matrix.indptr[start]), int(matrix.indptr[stop])
    data, indices = matrix.data[low:high], matrix.indices[low:high]
    offsets = matrix.indptr[start : stop + 1] - low
    rows = np.repeat(np.arange(stop - start), np.diff(offsets))
    positive = _promising(data, indices, offsets, depth)
    rows, data, indices = rows[positive], data[positive], indices[positive]
    inverted = np.uint64(0xFFFFFFFF) - data.view(np.uint32).astype(np.uint64)
    keys = (rows.astype(np.uint64) << np.uint64(32 + column_bits)) | (
        inverted << np.uint64(column_bits)
    )
    keys |= indices.astype(np.uint64)
    keys.sort()

    held = np.bincount(rows, minlength=stop - start)
    firsts = np.concatenate([[0], np.cumsum(held)[:-1]])
    rank = np.arange(depth)
    present = rank < held[:, None]
    taken = keys[(firsts[:, None] + rank)[present]]
    columns = np.zeros((stop - start, depth), np.int32)
    values = np.zeros((stop - start, depth), np.float32)
    columns[present] = (taken & np.uint64((1 << column_bits) - 1)).astype(np.int32)
    bits = np.uint64(0xFFFFFFFF) - ((taken >> np.uint64(column_bits)) & np.uint64(0xFFFFFFFF))
    values[present] = bits.astype(np.uint32).view(np.float32)

    _fill_up(columns, held)
    return columns, values


def _fill_up(columns: HostArray, held: HostArray) -> None:
    """Complete rows with the smallest columns that they do not hold among their first ``held``."""
    depth = columns.shape[1]
    short = np.flatnonzero(held < depth)
    if len(short) == 0:
        return
    present = np.arange(depth) < held[short, None]
    filled = columns[short]
    free = np.ones((len(short), depth), bool)
    rows, places = np.nonzero(present & (filled < depth))
    free[rows, filled[rows, places]] = False
    wanted = (np.cumsum(free, axis=1) <= (depth - held[short])[:, None]) & free
    filled[~present] = np.nonzero(wanted)[1]
    columns[short] = filled


def _promising(data: HostArray, indices: HostArray, offsets: HostArray, depth: int) -> HostArray:
    """Which entries [entries] of rows may be among the best ``depth``: of long rows, few are.

    Those of a long row's ``depth`` largest values, ties at the end by smaller column, are left; of
    other rows all positive ones.
    """
    promising: HostArray = data > 0
    for row in np.flatnonzero(np.diff(offsets) > _LONG * depth):
        entries = slice(int(offsets[row]), int(offsets[row + 1]))
        values, left = data[entries], promising[entries]
        # From this end: many equal values at the other make NumPy ten times as slow.
        least = -np.partition(-values, depth - 1)[depth - 1]
        larger = values > least
        left &= larger
        ties = np.flatnonzero(values == least)
        order = np.argsort(indices[entries][ties])
        left[ties[order][: depth - int(larger.sum())]] = least > 0
    return promising


def soft_allocate(
    segments: HostArray, weights: HostArray, shares: Csr, k: int, overshoot: int
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.soft_allocate`."""
    n_tracks = shares.shape[1]
    n_users, n_segments = segments.shape
    slots = settle.largest_remainder(np, weights, k + overshoot)
    most = _Most(shares, k, k + overshoot)
    favourites = most.favourites
    tracks = np.empty((n_users, k), np.int32)
    scores = np.empty((n_users, k), np.float32)
    per_user = max(1, n_segments * shares.nnz // max(1, shares.shape[0]))
    step = max(1, min(4096, _BATCH_ENTRIES // per_user))
    for start in range(0, n_users, step):
        rows = slice(start, start + step)
        offered = favourites[segments[rows]]
        listed = _first_distinct(offered, slots[rows], k, n_tracks)
        short = np.flatnonzero((listed < 0).any(axis=1))
        if len(short):
            ranking = most.blended(segments[rows][short], weights[rows][short])
            listed[short] = _fill(listed[short], ranking, k)
        value = most.blended_at(segments[rows], weights[rows], listed)
        order = np.lexsort((listed, -value), axis=1)
        tracks[rows] = np.take_along_axis(listed, order, axis=1)
        scores[rows] = np.take_along_axis(value, order, axis=1)
    return tracks, scores


class _Most:
    """What segments hold most, and the ``k`` that weighted sums of segments hold most.

    Attributes
    ----------
    favourites : HostArray [segments, offered] of int32
        Tracks of each segment, best first; as many as there are tracks where it has no more.
    """

    def __init__(self, shares: Csr, k: int, offered: int):
        n_tracks = shares.shape[1]
        self._shares, self._keys, self._k = shares, _entry_keys(shares), k
        tracks, share = row_top(shares, min(_DEEP * offered, n_tracks))
        self.favourites: HostArray = np.where(share > 0, tracks, n_tracks)[:, :offered]
        held = share > 0
        indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
        self._first = Csr(indptr, tracks[held], share[held], shares.shape)
        # A track beyond a segment's first has at most so much there.
        self._least = share[:, -1]

    def blended(self, segments: HostArray, weights: HostArray) -> HostArray:
        """Each user's best tracks by ``sum_c w_c * share_c`` [n, k] of int32.

        The best by what segments hold most come first of all, if even the sum of what the others
        may have is less than the last of these has; else everything is summed up.
        """
        few, k = min(2 * self._k, self._shares.shape[1]), self._k
        tracks, sums = row_top(_blend(segments, weights, self._first), few)
        others = sums[:, -1] + (weights * self._least[segments]).sum(axis=1)
        values = self.blended_at(segments, weights, tracks)
        order = np.lexsort((tracks, -values), axis=1)[:, :k]
        best = np.take_along_axis(tracks, order, axis=1)
        least = np.take_along_axis(values, order[:, -1:], axis=1)[:, 0]
        doubtful = np.flatnonzero(least <= others * np.float32(1 + _ROUNDING))
        blend = _blend(segments[doubtful], weights[doubtful], self._shares)
        best[doubtful] = row_top(blend, k)[0]
        return best

    def blended_at(self, segments: HostArray, weights: HostArray, columns: HostArray) -> HostArray:
        """What the sum holds at ``columns`` [n, m], added up in its order."""
        order = np.argsort(segments, axis=1, kind="stable")
        segments = np.take_along_axis(segments, order, axis=1)
        weights = np.take_along_axis(weights, order, axis=1).astype(np.float32)
        blended = np.zeros(columns.shape, np.float32)
        for place in range(segments.shape[1]):
            values = _values_at(self._shares, self._keys, columns, segments[:, place])
            blended += weights[:, place, None] * values
        return blended


def _blend(segments: HostArray, weights: HostArray, shares: Csr) -> Csr:
    """Each user's weighted sum of segment popularities, ``sum_c w_c * share_c``, columns unsorted.

    To sort them would take longer than the sums.
    """
    n, s = segments.shape
    order = np.argsort(segments, axis=1, kind="stable")
    mixture = Csr(
        np.arange(0, n * s + 1, s, dtype=np.int64),
        np.take_along_axis(segments, order, axis=1).ravel().astype(np.int32),
        np.take_along_axis(weights, order, axis=1).ravel().astype(np.float32),
        (n, shares.shape[0]),
    )
    blend = to_scipy(mixture) @ to_scipy(shares)
    return Csr(blend.indptr, blend.indices, blend.data, blend.shape)


def _first_distinct(offered: HostArray, slots: HostArray, k: int, n_tracks: int) -> HostArray:
    """The first ``k`` distinct tracks of each user's offers, -1 where there are fewer.

    ``offered`` [n, s, depth] holds the segments' favourites in order of weight, ``n_tracks`` or
    more where one has no more; the first ``slots`` [n, s] of each segment count.
    """
    n, n_segments, depth = offered.shape
    counts = np.arange(depth) < slots[:, :, None]
    flat = np.where(counts, offered, n_tracks).reshape(n, n_segments * depth)
    order = np.argsort(flat, axis=1, kind="stable")
    ascending = np.take_along_axis(flat, order, axis=1)
    first = np.ones_like(ascending, bool)
    first[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    fresh = np.empty_like(first)
    np.put_along_axis(fresh, order, first & (ascending < n_tracks), axis=1)
    place = np.cumsum(fresh, axis=1) - 1
    rows, columns = np.nonzero(fresh & (place < k))
    chosen = np.full((n, k), -1, np.int32)
    chosen[rows, place[rows, columns]] = flat[rows, columns]
    return chosen


def _fill(chosen: HostArray, ranking: HostArray, k: int) -> HostArray:
    """Complete lists [n, k] from a ranking [n, k], skipping what they hold already."""
    both = np.concatenate([chosen, ranking], axis=1)
    missing = np.iinfo(np.int32).max
    slots = np.full((len(both), 1), both.shape[1], np.int64)
    offered = np.where(both < 0, missing, both)[:, None, :]
    return _first_distinct(offered, slots, k, missing)


def _values_at(matrix: Csr, keys: HostArray, columns: HostArray, rows: HostArray) -> HostArray:
    """The values of ``rows`` [n] at ``columns`` [n, m], by :func:`_entry_keys`; 0 where none is."""
    if len(keys) == 0:
        return np.zeros(columns.shape, np.float32)
    wanted = rows.astype(np.int64)[:, None] * matrix.shape[1] + columns
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, matrix.data[places], np.float32(0))


def stored(matrix: Csr, columns: HostArray) -> HostArray:
    """Which of each row's ``columns`` [rows, m] hold an entry.

    Places are counted through all rows of a batch, which NumPy looks up faster than pairs.
    """
    n_rows, n_columns = matrix.shape
    stored = np.empty(columns.shape, bool)
    at_once = max(1, min(n_rows, _MARKS // n_columns))
    marks = np.zeros(at_once * n_columns, bool)
    for some in batches(n_rows, at_once):
        indptr = matrix.indptr[some.start : some.stop + 1]
        first = np.arange(len(indptr) - 1) * n_columns
        entries = np.repeat(first, np.diff(indptr)) + matrix.indices[indptr[0] : indptr[-1]]
        marks[entries] = True
        stored[some] = marks.take(first[:, None] + columns[some])
        marks[entries] = False
    return stored


def _entry_keys(matrix: Csr) -> HostArray:
    """One ascending number for each stored entry: row * columns + column."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys: HostArray = rows * matrix.shape[1] + matrix.indices
    return keys


def drop_seen(
    tracks: HostArray, scores: HostArray, seen: Csr, k: int
) -> tuple[HostArray, HostArray]:
    """See :meth:`gpu_coldstart.engine.base.Engine.drop_seen`."""
    kept = np.argsort(stored(seen, tracks), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(tracks, kept, axis=1), np.take_along_axis(scores, kept, axis=1)


def rank_metrics(tracks: HostArray, truth: Csr, ks: Sequence[int]) -> RankMetrics:
    """See :meth:`gpu_coldstart.engine.base.Engine.rank_metrics`."""
    hits = stored(truth, tracks)
    discounts = 1.0 / np.log2(np.arange(2, tracks.shape[1] + 2))
    ideals = np.cumsum(discounts)
    sizes = np.diff(truth.indptr)
    result = RankMetrics(tuple(ks))
    for k in ks:
        reachable = np.minimum(k, sizes)
        hit = hits[:, :k].sum(axis=1)
        result.precision.append(hit / reachable)
        result.recall.append(hit / sizes)
        # Gain and ideal are summed in different orders, so a perfect list could exceed 1 by an ulp.
        ndcg = hits[:, :k] @ discounts[:k] / ideals[reachable - 1]
        result.ndcg.append(np.minimum(ndcg, 1.0))
    return result
