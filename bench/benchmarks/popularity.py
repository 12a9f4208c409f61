"""Each segment's popular tracks, from who streamed what (3.1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, host
from gpu_coldstart.segments import shares_of

_DEPTH = 50

_QUERY = f"""
with counts as (
    select segment, track, count(*) as listeners
    from (select labels.segment, plays.track from plays join labels using (member))
    group by segment, track
)
select segment, track, listeners from counts
qualify row_number() over (partition by segment order by listeners desc, track) <= {_DEPTH}
order by segment, listeners desc, track
"""


def _prepare(setting: Setting) -> Case:
    engine, plays, k = setting.engine, setting.data.logs.plays, setting.data.segments
    n, n_tracks = plays.shape
    # What a segment is does not matter for the cost, so users are dealt out at random.
    labels = np.random.default_rng(setting.seed).permutation(np.arange(n) % k).astype(np.int32)
    members = host(engine, plays)
    pairs = {
        "member": np.repeat(np.arange(n, dtype=np.int32), np.diff(members.indptr)),
        "track": members.indices.astype(np.int32),
    }

    def ours() -> Work:
        on_device = engine.asarray(labels)

        def work() -> Any:
            shares = shares_of(engine, plays, on_device, k, of="members")
            return engine.row_top(shares, _DEPTH)

        return work

    def fetched(result: Any) -> tuple[Floats, Floats]:
        tracks, shares = map(engine.to_host, result)
        return _blank(tracks, shares), shares

    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, fetched, ours=True),
            Contender("NumPy, dense counts", lambda: _numpy(pairs, labels, (k, n_tracks))),
            Contender("polars", lambda: _polars(pairs, labels, k), needs=("polars",)),
            Contender("pandas", lambda: _pandas(pairs, labels, k), needs=("pandas",)),
            Contender(
                "DuckDB", lambda: _duckdb(pairs, labels, k, setting), needs=("duckdb", "pandas")
            ),
            Contender(
                "cuDF",
                lambda: _cudf(pairs, labels),
                lambda frame: _lists(_columns(frame.to_pandas()), labels, k),
                needs=("cudf",),
                device="cuda",
            ),
        ],
        quality=_quality,
        rules=(Rule("lists that differ", SAME, 0.0), Rule("largest difference", SAME, 1e-6)),
        sizes={"plays": plays.nnz, "users": n, "tracks": n_tracks, "segments": k, "top": _DEPTH},
        items="plays",
        bytes=8.0 * plays.nnz + 8.0 * k * _DEPTH,
    )


def _blank(tracks: Floats, shares: Floats) -> Floats:
    """The lists with -1 behind the last track that anyone streamed."""
    return np.where(shares > 0, tracks, -1)


def _lists(columns: Iterable[Floats], labels: Floats, k: int) -> tuple[Floats, Floats]:
    """Segment, track and listeners, in order of segment and rank, as tracks and shares [k, 50]."""
    segment, track, listeners = columns
    first = np.searchsorted(segment, np.arange(k))
    rank = np.arange(len(segment)) - first[segment]
    tracks = np.full((k, _DEPTH), -1, np.int32)
    shares = np.zeros((k, _DEPTH), np.float32)
    tracks[segment, rank] = track
    shares[segment, rank] = listeners / np.bincount(labels, minlength=k)[segment]
    return tracks, shares


def _numpy(pairs: dict[str, Floats], labels: Floats, shape: tuple[int, int]) -> Work:
    """``bincount`` into a dense table, then a partial sort of its rows."""
    k, n_tracks = shape
    depth = min(_DEPTH, n_tracks)

    def work() -> tuple[Floats, Floats]:
        cells = labels[pairs["member"]].astype(np.int64) * n_tracks + pairs["track"]
        counts = np.bincount(cells, minlength=k * n_tracks).reshape(shape)
        # One key for "more listeners, then the smaller track".
        keys = counts * n_tracks + (n_tracks - 1 - np.arange(n_tracks))
        some = np.argpartition(-keys, depth - 1, axis=1)[:, :depth]
        order = np.argsort(-np.take_along_axis(keys, some, axis=1), axis=1)
        tracks = np.take_along_axis(some, order, axis=1)
        shares = (
            np.take_along_axis(counts, tracks, axis=1) / np.bincount(labels, minlength=k)[:, None]
        )
        return _blank(tracks, shares), shares

    return work


def _polars(pairs: dict[str, Floats], labels: Floats, k: int) -> Work:
    import polars as pl

    def work() -> tuple[Floats, Floats]:
        frame = pl.DataFrame({"segment": labels[pairs["member"]], "track": pairs["track"]})
        counts = frame.group_by("segment", "track").agg(pl.len().alias("listeners"))
        ranked = counts.sort("segment", "listeners", "track", descending=[False, True, False])
        top = ranked.group_by("segment", maintain_order=True).head(_DEPTH)
        return _lists(_columns(top), labels, k)

    return work


def _ranked(frame: Any) -> Any:
    """The same calls for pandas and cuDF."""
    counts = frame.groupby(["segment", "track"]).size().rename("listeners").reset_index()
    ranked = counts.sort_values(["segment", "listeners", "track"], ascending=[True, False, True])
    return ranked.groupby("segment").head(_DEPTH)


def _columns(frame: Any) -> list[Floats]:
    return [frame[name].to_numpy() for name in ("segment", "track", "listeners")]


def _pandas(pairs: dict[str, Floats], labels: Floats, k: int) -> Work:
    import pandas as pd

    def work() -> tuple[Floats, Floats]:
        frame = pd.DataFrame({"segment": labels[pairs["member"]], "track": pairs["track"]})
        return _lists(_columns(_ranked(frame)), labels, k)

    return work


def _duckdb(pairs: dict[str, Floats], labels: Floats, k: int, setting: Setting) -> Work:
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect(config={"threads": setting.threads})
    plays = pa.table(pairs)
    of_members = pa.table({"member": np.arange(len(labels), dtype=np.int32), "segment": labels})

    def work() -> tuple[Floats, Floats]:
        connection.register("plays", plays)
        connection.register("labels", of_members)
        top = connection.sql(_QUERY).fetchnumpy()
        return _lists(top.values(), labels, k)

    return work


def _cudf(pairs: dict[str, Floats], labels: Floats) -> Work:
    import cudf
    import cupy as cp

    member, track, segment = map(cp.asarray, (pairs["member"], pairs["track"], labels))

    def work() -> Any:
        return _ranked(cudf.DataFrame({"segment": segment[member], "track": track}))

    return work


def _quality(result: tuple[Floats, Floats], ours: tuple[Floats, Floats]) -> dict[str, float]:
    return {
        "lists that differ": float((result[0] != ours[0]).any(axis=1).sum()),
        "largest difference": float(np.abs(result[1] - ours[1]).max()),
    }


BENCHMARKS = (
    Benchmark(
        "popularity",
        "who streamed what, and the segment of each user (dealt out at random), to each segment's "
        "50 most popular tracks; equals by smaller number",
        _prepare,
        slow=True,
        most_rounds=5,
    ),
)
"""What this file measures."""
