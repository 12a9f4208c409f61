"""TT-SVD of the collections of all users: co-occurrence, PMI and its products in executors.

The driver holds matrices of tracks by dimensions, and the playlists, if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import expr

from gpu_coldstart.config.components import TtSvdConfig
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.distributed.blocks import (
    BLOCK,
    DENSE,
    Block,
    gathered,
    kept,
    mapped,
    on_host,
    packed,
    rows_of,
    sent,
    spread_out,
)
from gpu_coldstart.distributed.warm import Histories, by_users
from gpu_coldstart.engine import spread
from gpu_coldstart.engine.base import Engine, HostArray, PmiOptions, Svd
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces.base import Progress, Space
from gpu_coldstart.spaces.tt_svd import (
    NO_PLAYLISTS,
    NOTHING,
    capped,
    check_dimension,
    cooccurrence,
    listed,
    placed,
    pmi_options,
    svd_options,
    users_at,
)

__all__ = ["tt_svd", "users"]

_TRACKS = 1000
"""Tracks of a block of counts. Popular ones and others alternate, so that all are about as long."""


def tt_svd(
    engine: Engine,
    logs: Logs,
    parameters: TtSvdConfig,
    seed: int,
    progress: Progress,
    *,
    spark: SparkSession,
    histories: Callable[[], Histories],
) -> Space:
    """As :meth:`gpu_coldstart.spaces.tt_svd.TtSvd.fit`, from the histories of all warm users.

    Parameters
    ----------
    histories : callable
        Gives what all warm users did, for logs without playlists that count.
    """
    check_dimension(logs, parameters)
    n_tracks, most, options = logs.n_tracks, parameters.max_tracks, pmi_options(parameters)
    sets = listed(engine, logs)
    if sets.nnz:
        blocks = spread_out(spark, on_host(engine, capped(engine, sets, most)))
    else:
        blocks = by_users(
            histories().events.where("NOT liked"),
            (n_tracks, 0),
            lambda engine, did: capped(engine, did.history, most),
        )
    progress(1, 4, "counting co-occurrences on Spark")
    with kept(_counts(blocks, n_tracks, options)) as counts:
        pmi = _Pmi(counts, n_tracks, options)
        if not pmi.entries.any():
            raise UserError(NOTHING)
        progress(3, 4, f"SVD of {pmi.entries.sum()} entries")
        across = partial(pmi.times, across=True)
        found = spread.svd_by(
            pmi.times, across, (n_tracks, n_tracks), svd_options(parameters, seed)
        )
    svd = Svd(*(engine.asarray(part) for part in (found.u, found.s, found.vt)))
    tracks, users = placed(engine, logs, parameters, svd, engine.asarray(pmi.entries))
    progress(4, 4, "done")
    return Space("tt-svd", tracks, users, notes=() if sets.nnz else (NO_PLAYLISTS,))


@contextmanager
def users(
    engine: Engine,
    logs: Logs,
    space: Space,
    parameters: TtSvdConfig,
    histories: Histories,
) -> Iterator[DataFrame]:
    """What all warm users played, and where they are in a space that was learned before.

    Yields
    ------
    DataFrame of :data:`gpu_coldstart.distributed.blocks.BLOCK`
        Their matrices are :attr:`gpu_coldstart.data.logs.Logs.plays`.
    """
    with sent(histories.events, engine.to_host(space.tracks)) as tracks:
        yield by_users(
            histories.events.where("NOT liked"),
            (logs.n_tracks, 0),
            lambda _, did: did.plays,
            lambda cpu, did: users_at(cpu, did.history, tracks.value, parameters),
        )


def _counts(sets: DataFrame, n_tracks: int, options: PmiOptions) -> DataFrame:
    """In how many sets two tracks are together, as blocks of tracks; rare pairs left out."""

    def pairs(block: Block) -> pa.Table:
        engine = spread.CpuEngine()
        together = cooccurrence(engine, block.matrix)
        row, column = entries(engine, together)
        return pa.table({"row": row, "column": column, "count": together.data.astype(np.float64)})

    def block(counts: pa.Table) -> pa.Table:
        row, column, count = (np.asarray(counts[name]) for name in ("row", "column", "count"))
        rows, place = np.unique(row, return_inverse=True)
        matrix = spread.CpuEngine().csr(place, column, count, (len(rows), n_tracks))
        return packed(Block(int(rows[0]) % n_blocks, rows, matrix))

    n_blocks = -(-n_tracks // _TRACKS)
    added = (
        mapped(sets, pairs, "row int, column int, count double")
        .groupBy("row", "column")
        .agg(expr("sum(count) AS count"))
        .where(f"count >= {options.min_count}")
    )
    return added.groupBy(expr(f"row % {n_blocks}")).applyInArrow(block, BLOCK)


class _Pmi:
    """The PMI of all tracks, never put together; made of the counts whenever it is needed.

    Attributes
    ----------
    entries : HostArray [tracks] of int64
        Of each row.
    """

    def __init__(self, counts: DataFrame, n_tracks: int, options: PmiOptions):
        self._counts, self._n, self._options = counts, n_tracks, options

        def totals(block: Block) -> HostArray:
            return spread.totals_of(block.matrix, options)

        self._totals = self._rows(totals, np.zeros((n_tracks, 1)))[:, 0]

        def lengths(block: Block, totals: HostArray) -> HostArray:
            pmi = spread.pmi_of_rows(block.matrix, totals, options, own=block.rows)
            return np.diff(pmi.indptr)

        with sent(counts, self._totals) as known:
            found = self._rows(
                lambda block: lengths(block, known.value), np.zeros((n_tracks, 1), np.int64)
            )
        self.entries: HostArray = found[:, 0]

    def times(self, dense: HostArray, *, across: bool = False) -> HostArray:
        """The matrix, or its transpose, times ``dense`` [tracks, d] of float32."""
        options = self._options

        def rows(block: Block) -> HostArray:
            totals, dense = known.value
            pmi = spread.pmi_of_rows(block.matrix, totals, options, own=block.rows, across=across)
            return spread.times(pmi, dense)

        with sent(self._counts, (self._totals, dense)) as known:
            return self._rows(rows, np.zeros(dense.shape, np.float32))

    def _rows(self, make: Callable[[Block], HostArray], out: HostArray) -> HostArray:
        """What executors make of each row, on the driver."""
        rows = mapped(self._counts, lambda block: rows_of(block.rows, make(block)), DENSE)
        return gathered(rows, out)
