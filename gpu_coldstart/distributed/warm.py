"""What all warm users did, in blocks of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.functions import expr

from gpu_coldstart.distributed.blocks import BLOCK, Block, packed, settled
from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.spread import CpuEngine

__all__ = ["Did", "Histories", "by_users"]

_USERS = 1000
"""Users of a block, registered one after another; fewer where not all are warm."""


class Did(NamedTuple):
    """What some warm users did, as in :class:`gpu_coldstart.data.logs.Logs`.

    Attributes
    ----------
    history, plays : Csr [users, tracks]
    favorites : Csr [users, entities]
    """

    history: Csr
    plays: Csr
    favorites: Csr


class Histories(NamedTuple):
    """What all warm users did, and whom of them the driver holds.

    Attributes
    ----------
    events : DataFrame
        What :meth:`gpu_coldstart.distributed.counting.Counting.histories` returns.
    held : HostArray of int32
        The warm users of the logs, in their order, as ``events`` number users.
    """

    events: DataFrame
    held: HostArray


def by_users(
    events: DataFrame,
    shape: tuple[int, int],
    make: Callable[[CpuEngine, Did], Csr],
    place: Callable[[CpuEngine, Did], HostArray] | None = None,
) -> DataFrame:
    """A matrix of all warm users who streamed a track, made where their events are.

    Parameters
    ----------
    events : DataFrame
        See :class:`Histories`.
    shape : (tracks, entities)
    make : callable
        Makes some rows of the matrix [users, columns].
    place : callable, or None
        Gives what goes with each of these rows [users, d] of float32.

    Returns
    -------
    DataFrame of :data:`gpu_coldstart.distributed.blocks.BLOCK`
        Rows are places among the users by ascending id, and ascend with the block's number.
    """
    size = _USERS

    def made(some: pa.Table) -> pa.Table:
        settled()
        user, number, liked, early, count = (
            np.asarray(some[name]) for name in ("user", "number", "liked", "early", "count")
        )
        users = np.unique(user[~liked])
        if not len(users):
            return _NONE
        row = np.minimum(np.searchsorted(users, user), len(users) - 1)
        known = users[row] == user
        engine = CpuEngine()

        def matrix(which: HostArray, columns: int) -> Csr:
            places = row[which], number[which]
            return engine.csr(*places, count[which], (len(users), columns))

        streamed = known & ~liked
        history = plays = matrix(streamed, shape[0])
        if not early.all():
            plays = matrix(streamed & early, shape[0])
        did = Did(history, plays, matrix(known & liked, shape[1]))
        dense = None if place is None else place(engine, did)
        return packed(Block(int(users[0]) // size, users, make(engine, did), dense))

    return events.groupBy(expr(f"user div {size}")).applyInArrow(made, BLOCK)


_NONE = packed(Block(0, np.zeros(0, np.int32), Csr(*(np.zeros(0),) * 3, (0, 0)))).slice(0, 0)
