"""Ranked lists on the GPU: popularity, the best of sparse rows, soft allocation, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import cupy as cp

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Array, Csr, RankMetrics
from gpu_coldstart.engine.cuda.kernels import BLOCK, kernel
from gpu_coldstart.engine.cuda.memory import Memory
from gpu_coldstart.engine.cuda.sparse import offsets
from gpu_coldstart.errors import EngineLimitError

__all__ = ["drop_seen", "rank_metrics", "row_top", "segment_counts", "soft_allocate"]

_MOST_LISTED = 4096
"""Longest list whose keys fit into the shared memory of a block."""

_MOST_SCRATCH_ROWS = 2048
"""Blocks at work at once fill the largest card with fewer."""


def segment_counts(memory: Memory, labels: Array, matrix: Csr, k: int) -> Csr:
    """See :meth:`gpu_coldstart.engine.base.Engine.segment_counts`; a dense table, by segments."""
    n, n_columns = matrix.shape
    count = kernel("segment_counts")
    parts: list[tuple[Array, Array, Array]] = []

    def work(start: int, stop: int) -> None:
        table = cp.zeros((stop - start, n_columns), dtype=cp.int32)
        count(
            n,
            32,
            labels=cp.ascontiguousarray(labels, dtype=cp.int32),
            indptr=matrix.indptr,
            indices=matrix.indices,
            table=table,
            n=n,
            first_group=start,
            groups=stop - start,
            columns=n_columns,
        )
        rows, columns = table.nonzero()
        values = table[rows, columns].astype(cp.float32)
        lengths = cp.bincount(rows, minlength=stop - start)
        parts.append((lengths, columns.astype(cp.int32), values))

    # The table, the mask and the running count that find what is not zero.
    memory.batched("the popularity in segments", k, 13 * n_columns, work)
    lengths, columns, values = (cp.concatenate(column) for column in zip(*parts, strict=True))
    return Csr(offsets(lengths), columns, values, (k, n_columns))


def row_top(matrix: Csr, depth: int) -> tuple[Array, Array]:
    """See :meth:`gpu_coldstart.engine.base.Engine.row_top`."""
    n, n_columns = matrix.shape
    if depth > n_columns:
        raise ValueError(f"depth {depth} exceeds the {n_columns} columns")
    columns = cp.empty((n, depth), dtype=cp.int32)
    values = cp.empty((n, depth), dtype=cp.float32)
    kernel("row_top")(
        n,
        BLOCK,
        indptr=matrix.indptr,
        indices=matrix.indices,
        data=matrix.data,
        columns=columns,
        values=values,
        n=n,
        depth=depth,
    )
    return columns, values


def soft_allocate(
    memory: Memory, segments: Array, weights: Array, shares: Csr, *, k: int, overshoot: int
) -> tuple[Array, Array]:
    """See :meth:`gpu_coldstart.engine.base.Engine.soft_allocate`."""
    n, s = segments.shape
    n_tracks = shares.shape[1]
    if k > _MOST_LISTED:
        raise EngineLimitError("k", k, _MOST_LISTED)
    depth = min(k + overshoot, n_tracks)
    favourites, share = row_top(shares, depth)
    held = (share > 0).sum(axis=1).astype(cp.int32)
    segments, weights = cp.ascontiguousarray(segments), cp.ascontiguousarray(weights)
    slots = settle.largest_remainder(cp, weights, k + overshoot).astype(cp.int32)
    ascending = cp.argsort(segments, axis=1, kind="stable").astype(cp.int32)
    tracks = cp.empty((n, k), dtype=cp.int32)
    scores = cp.empty((n, k), dtype=cp.float32)

    def work(start: int, stop: int) -> None:
        some = slice(start, stop)
        blocks = min(stop - start, _MOST_SCRATCH_ROWS)
        kernel("soft_allocate")(
            stop - start,
            BLOCK,
            most_blocks=blocks,
            shared=8 * k,
            segments=segments[some],
            weights=weights[some],
            slots=slots[some],
            ascending=ascending[some],
            favourites=favourites,
            held=held,
            indptr=shares.indptr,
            indices=shares.indices,
            shares=shares.data,
            scratch=cp.empty((blocks, n_tracks), dtype=cp.float32),
            tracks=tracks[some],
            scores=scores[some],
            n=stop - start,
            s=s,
            depth=depth,
            n_tracks=n_tracks,
            k=k,
        )

    memory.batched("soft allocation", n, 4 * n_tracks, work)
    return tracks, scores


def drop_seen(tracks: Array, scores: Array, seen: Csr, k: int) -> tuple[Array, Array]:
    """See :meth:`gpu_coldstart.engine.base.Engine.drop_seen`."""
    n, m = tracks.shape
    kept = cp.empty((n, k), dtype=cp.int32)
    kept_scores = cp.empty((n, k), dtype=cp.float32)
    kernel("drop_seen")(
        n,
        32,
        tracks=cp.ascontiguousarray(tracks),
        scores=cp.ascontiguousarray(scores),
        indptr=seen.indptr,
        indices=seen.indices,
        out_tracks=kept,
        out_scores=kept_scores,
        n=n,
        m=m,
        k=k,
    )
    return kept, kept_scores


def rank_metrics(tracks: Array, truth: Csr, ks: Sequence[int]) -> RankMetrics:
    """See :meth:`gpu_coldstart.engine.base.Engine.rank_metrics`."""
    n, m = tracks.shape
    discounts = 1.0 / cp.log2(cp.arange(2, m + 2, dtype=cp.float64))
    precision, recall, ndcg = (cp.empty((len(ks), n), dtype=cp.float64) for _ in range(3))
    kernel("rank_metrics")(
        n,
        32,
        tracks=cp.ascontiguousarray(tracks),
        indptr=truth.indptr,
        indices=truth.indices,
        ks=cp.asarray(ks, dtype=cp.int32),
        discounts=discounts,
        ideals=cp.cumsum(discounts),
        precision=precision,
        recall=recall,
        ndcg=ndcg,
        n=n,
        m=m,
        n_ks=len(ks),
    )
    return RankMetrics(tuple(ks), list(precision), list(recall), list(ndcg))
