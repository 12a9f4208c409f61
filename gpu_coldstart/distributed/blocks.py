"""Sparse matrices on Spark, some rows in each row of a DataFrame, and what comes back of them.

Everything goes between Spark and Python as Arrow: a block's arrays are columns of bytes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit

from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.engine.spread import CpuEngine

__all__ = [
    "BLOCK",
    "DENSE",
    "Block",
    "dense_alone",
    "gathered",
    "kept",
    "mapped",
    "on_host",
    "packed",
    "rows_of",
    "sent",
    "settled",
    "spread_out",
    "sums",
]

BLOCK = (
    "block int, columns int, rows binary, indptr binary, indices binary, data binary, dense binary"
)
"""Types of a DataFrame of blocks."""

DENSE = "rows binary, dense binary"
"""Types of what executors send to the driver: numbers of rows, and the rows."""

_ROWS = 1000
"""Rows of a block of a matrix of the driver's."""

_CHUNK = 1 << 20
"""Numbers of a matrix that are added up at a time."""


@dataclass(frozen=True)
class Block:
    """Some rows of a matrix.

    Attributes
    ----------
    number : int
    rows : HostArray [rows] of int32
        Which rows of the whole matrix.
    matrix : Csr [rows, columns]
    dense : HostArray [rows, d] of float32
        What goes with each row.
    """

    number: int
    rows: HostArray
    matrix: Csr
    dense: HostArray | None = None


def on_host(engine: Engine, matrix: Csr) -> Csr:
    """A matrix of the driver's engine, in NumPy's arrays."""
    host = engine.to_host
    return Csr(host(matrix.indptr), host(matrix.indices), host(matrix.data), matrix.shape)


def spread_out(spark: SparkSession, matrix: Csr) -> DataFrame:
    """A matrix in NumPy's arrays as blocks of its rows."""
    parts, n = [], matrix.shape[0]
    for number, start in enumerate(range(0, n, _ROWS)):
        rows = np.arange(start, min(start + _ROWS, n))
        parts.append(packed(Block(number, rows, CpuEngine().take_rows(matrix, rows))))
    return spark.createDataFrame(pa.concat_tables(parts))


@cache
def settled() -> None:
    """Keep Python's collector, which Spark's workers call after every task, from what is imported.

    That would take it longer than many a task.
    """
    gc.freeze()


def packed(block: Block) -> pa.Table:
    """A block as a row of :data:`BLOCK`."""
    dense = np.zeros((0, 0), np.float32) if block.dense is None else block.dense
    matrix = block.matrix
    arrays = {
        "rows": block.rows.astype(np.int32),
        "indptr": matrix.indptr,
        "indices": matrix.indices,
        "data": matrix.data,
        "dense": dense,
    }
    return pa.table(
        {
            "block": pa.array([block.number], pa.int32()),
            "columns": pa.array([matrix.shape[1]], pa.int32()),
            **{name: pa.array([array.tobytes()], pa.binary()) for name, array in arrays.items()},
        }
    )


def _unpacked(batch: pa.RecordBatch) -> Iterator[Block]:
    """The blocks of a batch of rows of :data:`BLOCK`."""
    settled()
    for i in range(batch.num_rows):
        # Copies: loops would be compiled once more for arrays that cannot be written to.
        rows, indptr, indices, data, dense = (
            np.frombuffer(batch[name][i].as_buffer(), dtype).copy()
            for name, dtype in (
                ("rows", np.int32),
                ("indptr", np.int64),
                ("indices", np.int32),
                ("data", np.float32),
                ("dense", np.float32),
            )
        )
        matrix = Csr(indptr, indices, data, (len(rows), batch["columns"][i].as_py()))
        own = dense.reshape(len(rows), -1) if len(dense) else None
        yield Block(batch["block"][i].as_py(), rows, matrix, own)


def dense_alone(blocks: DataFrame) -> DataFrame:
    """Blocks whose matrix is left behind: Python then reads no more than what goes with rows."""
    return blocks.withColumns(
        {"columns": lit(0), **{name: lit(b"") for name in ("indptr", "indices", "data")}}
    )


@contextmanager
def sent(frame: DataFrame, value: Any) -> Iterator[Broadcast[Any]]:
    """A value that every executor of a frame's session gets once, as long as the block lasts."""
    broadcast = frame.sparkSession.sparkContext.broadcast(value)
    try:
        yield broadcast
    finally:
        broadcast.destroy()


@contextmanager
def kept(frame: DataFrame) -> Iterator[DataFrame]:
    """The rows of a frame, computed once for all that the block asks of them."""
    try:
        yield frame.persist()
    finally:
        frame.unpersist()


def rows_of(rows: HostArray, dense: HostArray) -> pa.Table:
    """Rows [rows, d] of a dense matrix, and which they are, as a row of :data:`DENSE`."""
    arrays = {"rows": rows.astype(np.int32), "dense": dense}
    return pa.table(
        {name: pa.array([array.tobytes()], pa.binary()) for name, array in arrays.items()}
    )


def mapped(blocks: DataFrame, make: Callable[[Block], pa.Table], schema: str = BLOCK) -> DataFrame:
    """What executors make of each block: the rows of a table."""

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in _unpacked(batch):
                yield from make(block).to_batches()

    return blocks.mapInArrow(work, schema)


def gathered(frame: DataFrame, out: HostArray) -> HostArray:
    """Rows of :data:`DENSE`, each put into ``out`` [rows, d] where it belongs."""
    found = frame.toArrow()
    for rows, dense in zip(found["rows"], found["dense"], strict=True):
        places = np.frombuffer(rows.as_buffer(), np.int32)
        values = np.frombuffer(dense.as_buffer(), out.dtype)
        out[places] = values.reshape(len(places), *out.shape[1:])
    return out


def sums(
    blocks: DataFrame,
    add: Callable[[Block, HostArray], None],
    shape: tuple[int, int],
    dtype: npt.DTypeLike = np.float32,
) -> HostArray:
    """The sum of what ``add`` adds of each block to a matrix of that type.

    A task adds up its own blocks; what the tasks have come to is cut into chunks of rows, each of
    which is added up by one task, in double precision and always in the same order.
    """
    at_once = max(1, _CHUNK // shape[1])

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total, first = np.zeros(shape, dtype), None
        for batch in batches:
            for block in _unpacked(batch):
                first = block.number if first is None else first
                add(block, total)
        if first is None:
            return
        for chunk, start in enumerate(range(0, shape[0], at_once)):
            part = total[start : start + at_once].tobytes()
            yield pa.record_batch(
                {
                    "chunk": pa.array([chunk], pa.int32()),
                    "first": pa.array([first], pa.int32()),
                    "part": pa.array([part], pa.binary()),
                }
            )

    parts = blocks.mapInArrow(work, "chunk int, first int, part binary")
    added = parts.groupBy("chunk").applyInArrow(
        lambda parts: _added(parts, at_once, shape[1], dtype), DENSE
    )
    return gathered(added, np.zeros(shape, dtype))


def _added(parts: pa.Table, at_once: int, columns: int, dtype: npt.DTypeLike) -> pa.Table:
    """Parts of one chunk, added up."""
    settled()
    total: Any = 0.0
    for part in parts.sort_by("first")["part"]:
        total = total + np.frombuffer(part.as_buffer(), dtype).astype(np.float64)
    chunk = total.reshape(-1, columns).astype(dtype)
    start = parts["chunk"][0].as_py() * at_once
    return rows_of(np.arange(start, start + len(chunk)), chunk)
