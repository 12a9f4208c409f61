"""UT-ALS of all users' affinities: users are solved in executors, tracks by sums over executors.

No one holds all users' factors: they stay where the users' affinities are. The driver holds
matrices of tracks by factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from gpu_coldstart.config.components import UtAlsConfig
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.distributed.blocks import (
    DENSE,
    Block,
    gathered,
    mapped,
    on_host,
    packed,
    rows_of,
    sent,
    sums,
)
from gpu_coldstart.distributed.warm import Did, Histories, by_users
from gpu_coldstart.engine import spread
from gpu_coldstart.engine.base import AlsOptions, Csr, Engine, HostArray
from gpu_coldstart.spaces.base import Progress, Space, unit_rows
from gpu_coldstart.spaces.ut_als import affinity_of, als_options, covers

__all__ = ["Users", "users", "ut_als"]

_RIDGE = 0.1
"""Of a regression on unit vectors."""


def ut_als(
    engine: Engine,
    logs: Logs,
    parameters: UtAlsConfig,
    seed: int,
    progress: Progress,
    *,
    spark: SparkSession,
    histories: Callable[[], Histories],
) -> Space:
    """As :meth:`gpu_coldstart.spaces.ut_als.UtAls.fit`, from the affinities of all warm users.

    Parameters
    ----------
    histories : callable
        Gives what all warm users did.
    """
    options = als_options(parameters, seed)
    losses: list[float] = []

    def report(iteration: int, loss: float) -> None:
        losses.append(loss)
        progress(iteration + 1, parameters.iterations, f"loss {loss:.6g}")

    events, mine = histories()
    with sent(events, on_host(engine, covers(engine, logs, parameters))) as covered:

        def matrix(cpu: spread.CpuEngine, did: Did) -> Csr:
            return _confidence(cpu, did, covered.value, parameters)

        shape = logs.n_tracks, logs.members.shape[0]
        with Users(by_users(events, shape, matrix), logs.n_tracks, options) as everyone:
            tracks = engine.asarray(spread.als(everyone, options, report))
            users = engine.asarray(everyone.factors(mine))
    return Space("ut-als", tracks, unit_rows(users), tuple(losses))


def _confidence(cpu: spread.CpuEngine, did: Did, covered: Csr, parameters: UtAlsConfig) -> Csr:
    """What is factorised, of some users."""
    drawn = affinity_of(cpu, did.history, did.favorites, covered, parameters.stream_weight)
    return drawn.with_data(1 + np.float32(parameters.confidence) * drawn.data)


@contextmanager
def users(
    engine: Engine,
    logs: Logs,
    space: Space,
    parameters: UtAlsConfig,
    histories: Histories,
) -> Iterator[DataFrame]:
    """As :func:`gpu_coldstart.distributed.tt_svd.users`, but for what ALS leaves undone.

    Users are solved once more, against the tracks as they are. That is not where ALS left them,
    which had not converged; but what takes the users that the driver holds from here to there, a
    matrix, takes the others, too.
    """
    covered, tracks = covers(engine, logs, parameters), engine.to_host(space.tracks)
    known = on_host(engine, covered), tracks
    mine = Did(*(on_host(engine, each) for each in (logs.history, logs.plays, logs.favorites)))
    found = _solved(spread.CpuEngine(), mine, known, parameters)
    turn = _turn(found, engine.to_host(space.users))
    with sent(histories.events, (known, turn)) as told:

        def place(cpu: spread.CpuEngine, did: Did) -> HostArray:
            known, turn = told.value
            places: HostArray = unit_rows(_solved(cpu, did, known, parameters) @ turn)
            return places

        shape = logs.n_tracks, logs.members.shape[0]
        yield by_users(histories.events, shape, lambda _, did: did.plays, place)


def _solved(
    cpu: spread.CpuEngine, did: Did, known: tuple[Csr, HostArray], parameters: UtAlsConfig
) -> HostArray:
    """Unit factors of users given the tracks', from nothing, by as many steps as in all of ALS."""
    covered, tracks = known
    options = als_options(parameters, 0)
    options = replace(options, cg_steps=options.cg_steps * options.iterations)
    confidence = _confidence(cpu, did, covered, parameters)
    start = np.zeros((confidence.shape[0], tracks.shape[1]), np.float32)
    gram = spread.gram_of(tracks, options)
    users: HostArray = unit_rows(spread.solved(confidence, start, tracks, gram, options))
    return users


def _turn(found: HostArray, wanted: HostArray) -> HostArray:
    """The matrix [d, d] that takes users to where they are wanted, by ridge regression.

    Where there are too few users to tell, it leaves them where they are found.
    """
    x, same = found.astype(np.float64), np.eye(found.shape[1])
    change = np.linalg.solve(x.T @ x + _RIDGE * same, x.T @ (wanted - x))
    turn: HostArray = (same + change).astype(np.float32)
    return turn


class Users(AbstractContextManager["Users"]):
    """Confidence of users and their factors in executors; a :class:`spread.Spread`.

    Parameters
    ----------
    confidence : DataFrame of blocks
        Their rows are users, in the order of the blocks' numbers.
    """

    def __init__(self, confidence: DataFrame, n_tracks: int, options: AlsOptions):
        self._before = self._users = confidence
        self._options = options
        # Factors that are lost with an executor are solved again, against what was sent then.
        self._sent = ExitStack()
        try:
            found = mapped(confidence.persist(), _measured, _MEASURES).toArrow().sort_by("block")
        except BaseException:
            confidence.unpersist()
            raise
        rows = np.asarray(found["rows"])
        firsts = np.cumsum(rows) - rows
        self._first = dict(zip(found["block"].to_pylist(), firsts.tolist(), strict=True))
        self.shape = (int(rows.sum()), n_tracks)
        self.total = float(np.asarray(found["total"]).sum())

    def __exit__(self, *_: object) -> None:
        for users in (self._before, self._users):
            users.unpersist()
        self._sent.close()

    def solve(self, tracks: HostArray, gram: HostArray) -> None:
        """See :class:`spread.Spread`."""
        options, first = self._options, self._first
        known = self._sent.enter_context(sent(self._users, (tracks, gram)))

        def solved(block: Block) -> pa.Table:
            users, (tracks, gram) = block.dense, known.value
            if users is None:
                users = spread.start(options, first[block.number], len(block.rows))
            users = spread.solved(block.matrix, users, tracks, gram, options)
            return packed(replace(block, dense=users))

        self._before, self._users = self._users, mapped(self._users, solved).persist()

    def pulls(self, vectors: HostArray, *, first: bool) -> HostArray:
        """See :class:`spread.Spread`."""

        def add(block: Block, out: HostArray) -> None:
            assert block.dense is not None  # once solved
            spread.pulls(block.matrix, block.dense, known.value, out, first=first)

        n, d = vectors.shape
        with sent(self._users, vectors) as known:
            out = sums(self._users, add, (n + d, d + 1))
        self._before.unpersist()  # if not yet: users have been solved now, and are kept
        return out

    def factors(self, users: HostArray) -> HostArray:
        """Factors [users, d] of some users, given by ascending numbers of rows."""

        def chosen(block: Block) -> pa.Table:
            assert block.dense is not None  # once solved
            mine = np.isin(block.rows, users)
            return rows_of(np.searchsorted(users, block.rows[mine]), block.dense[mine])

        out = np.zeros((len(users), self._options.factors), np.float32)
        return gathered(mapped(self._users, chosen, DENSE), out)


_MEASURES = "block int, rows int, total double"


def _measured(block: Block) -> pa.Table:
    """How many rows a block has, and the sum of its entries."""
    return pa.table(
        {
            "block": pa.array([block.number], pa.int32()),
            "rows": pa.array([len(block.rows)], pa.int32()),
            "total": [float(block.matrix.data.sum(dtype=np.float64))],
        }
    )
