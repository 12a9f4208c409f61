"""Event aggregation and CSR building: from rows of a log to a users x tracks matrix (4.1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, host

_QUERY = """
select user_id, entity_id, sum(count)::double as count
from events group by user_id, entity_id order by user_id, entity_id
"""


def _prepare(setting: Setting) -> Case:
    source = setting.data.tables
    users, tracks, log = (source[name] for name in ("users", "tracks", "interactions"))
    assert isinstance(users, pa.Table)
    assert isinstance(tracks, pa.Table)
    assert isinstance(log, pa.Table)
    streams = log.filter(pc.and_(_are(log["action"], "stream"), _are(log["entity"], "track")))
    if "count" not in streams.column_names:
        streams = streams.append_column("count", pa.array(np.ones(len(streams), np.int64)))
    streams = streams.select(["user_id", "entity_id", "count"]).combine_chunks()
    streams = streams.cast(pa.schema([(name, pa.int64()) for name in streams.column_names]))
    keys = (np.sort(users["user_id"].to_numpy()), np.sort(tracks["track_id"].to_numpy()))
    shape = (len(keys[0]), len(keys[1]))
    cells = len(streams.group_by(["user_id", "entity_id"]).aggregate([]))
    return Case(
        contenders=[
            _ours(setting, streams, keys),
            Contender("NumPy and SciPy", lambda: lambda: _plain(streams, keys)),
            Contender("pyarrow", lambda: lambda: _arrow(streams, keys)),
            Contender("polars", lambda: _polars(streams, keys), needs=("polars",)),
            Contender("pandas", lambda: _pandas(streams, keys), needs=("pandas",)),
            Contender("DuckDB", lambda: _duckdb(streams, keys, setting), needs=("duckdb",)),
            Contender(
                "cuDF",
                lambda: _cudf(streams, keys),
                needs=("cudf", "cupy"),
                device="cuda",
                common=_fetched,
            ),
        ],
        quality=_quality,
        rules=(Rule("entries that differ", SAME, 0.0),),
        sizes={"events": len(streams), "users": shape[0], "tracks": shape[1], "entries": cells},
        items="events",
        bytes=24.0 * len(streams) + 8.0 * cells + 8.0 * shape[0],
    )


def _are(column: Any, word: str) -> Any:
    return pc.equal(column.cast(pa.string()), word)


def _ours(setting: Setting, streams: pa.Table, keys: tuple[Floats, Floats]) -> Contender:
    engine = setting.engine

    def start() -> Work:
        users, tracks = engine.asarray(keys[0]), engine.asarray(keys[1])

        def work() -> Any:
            columns = engine.read(streams, streams.column_names)
            return engine.csr(
                engine.lookup(columns["user_id"].values, users),
                engine.lookup(columns["entity_id"].values, tracks),
                columns["count"].values.astype(engine.xp.float32),
                (len(users), len(tracks)),
            )

        return work

    return Contender("gpu_coldstart", start, lambda matrix: host(engine, matrix), ours=True)


def _matrix(pairs: Iterable[Any], keys: tuple[Any, Any], xp: Any) -> Any:
    """(indptr, indices, data, shape) of user, track and count of pairs in order of their ids."""
    users, tracks, counts = pairs
    first = xp.searchsorted(users, keys[0])
    indptr = xp.concatenate([first, xp.asarray([len(users)], dtype=first.dtype)])
    indices = xp.searchsorted(keys[1], tracks).astype(xp.int32)
    return indptr, indices, counts.astype(xp.float32), (len(keys[0]), len(keys[1]))


def _scipy(pairs: Iterable[Any], keys: tuple[Floats, Floats]) -> sp.csr_array:
    indptr, indices, data, shape = _matrix(pairs, keys, np)
    return sp.csr_array((data, indices, indptr), shape=shape)


def _plain(streams: pa.Table, keys: tuple[Floats, Floats]) -> sp.csr_array:
    """Binary searches, and SciPy's own way from triplets to rows."""
    users, tracks, counts = (column.to_numpy() for column in streams.columns)
    places = (np.searchsorted(keys[0], users), np.searchsorted(keys[1], tracks))
    shape = (len(keys[0]), len(keys[1]))
    matrix = sp.coo_array((counts.astype(np.float32), places), shape=shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def _arrow(streams: pa.Table, keys: tuple[Floats, Floats]) -> sp.csr_array:
    pairs = streams.group_by(["user_id", "entity_id"]).aggregate([("count", "sum")])
    pairs = pairs.sort_by([("user_id", "ascending"), ("entity_id", "ascending")])
    return _scipy((column.to_numpy() for column in pairs.columns), keys)


def _polars(streams: pa.Table, keys: tuple[Floats, Floats]) -> Work:
    import polars as pl

    def work() -> sp.csr_array:
        frame: Any = pl.from_arrow(streams)
        pairs = frame.group_by("user_id", "entity_id").agg(pl.col("count").sum())
        pairs = pairs.sort("user_id", "entity_id")
        return _scipy((pairs[name].to_numpy() for name in pairs.columns), keys)

    return work


def _pandas(streams: pa.Table, keys: tuple[Floats, Floats]) -> Work:
    import pandas as pd

    def work() -> sp.csr_array:
        frame: pd.DataFrame = streams.to_pandas()
        pairs = frame.groupby(["user_id", "entity_id"], sort=True)["count"].sum().reset_index()
        return _scipy((pairs[name].to_numpy() for name in pairs.columns), keys)

    return work


def _duckdb(streams: pa.Table, keys: tuple[Floats, Floats], setting: Setting) -> Work:
    import duckdb

    connection = duckdb.connect(config={"threads": setting.threads})

    def work() -> sp.csr_array:
        connection.register("events", streams)
        pairs = connection.sql(_QUERY).fetchnumpy()
        return _scipy(pairs.values(), keys)

    return work


def _cudf(streams: pa.Table, keys: tuple[Floats, Floats]) -> Work:
    import cudf
    import cupy as cp

    on_device = (cp.asarray(keys[0]), cp.asarray(keys[1]))

    def work() -> Any:
        frame = cudf.DataFrame.from_arrow(streams)
        pairs = frame.groupby(["user_id", "entity_id"], sort=True)["count"].sum().reset_index()
        columns = (pairs[name].values for name in ("user_id", "entity_id", "count"))
        return _matrix(columns, on_device, cp)

    return work


def _fetched(matrix: Any) -> sp.csr_array:
    """A matrix of CuPy arrays as SciPy's."""
    indptr, indices, data, shape = matrix
    return sp.csr_array((data.get(), indices.get(), indptr.get()), shape=shape)


def _quality(matrix: sp.csr_array, ours: sp.csr_array) -> dict[str, float]:
    return {"entries that differ": float(abs(matrix - ours).count_nonzero())}


BENCHMARKS = (
    Benchmark(
        "events",
        "streams in an Arrow table to the matrix users x tracks of their counts",
        _prepare,
        slow=True,
        most_rounds=5,
    ),
)
"""What this file measures."""
