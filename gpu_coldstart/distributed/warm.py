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

__all__ = ["Histories", "by_users"]

_USERS = 1000
"""Users of a block, registered one after another; fewer where not all are warm."""

Make = Callable[[CpuEngine, Csr, Csr], Csr]
"""From history [users, tracks] and favourites [users, entities] to a matrix [users, columns]."""


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


def by_users(events: DataFrame, shape: tuple[int, int], make: Make) -> DataFrame:
    """A matrix of all warm users who streamed a track, made where their events are.

    Parameters
    ----------
    events : DataFrame
        See :class:`Histories`.
    shape : (tracks, entities)
    make : callable

    Returns
    -------
    DataFrame of :data:`gpu_coldstart.distributed.blocks.BLOCK`
        Rows are places among the users by ascending id, and ascend with the block's number.
    """
    size = _USERS

    def made(some: pa.Table) -> pa.Table:
        settled()
        user, number, liked, count = (
            np.asarray(some[name]) for name in ("user", "number", "liked", "count")
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

        played, favorites = matrix(known & ~liked, shape[0]), matrix(known & liked, shape[1])
        return packed(Block(int(users[0]) // size, users, make(engine, played, favorites)))

    return events.groupBy(expr(f"user div {size}")).applyInArrow(made, BLOCK)


_NONE = packed(Block(0, np.zeros(0, np.int32), Csr(*(np.zeros(0),) * 3, (0, 0)))).slice(0, 0)
