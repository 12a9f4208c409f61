"""Segments of all warm users: their places, and what they played, stay in executors.

The driver holds matrices of segments by dimensions, and how many members streamed each track.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.functions import col, expr

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.distributed.blocks import Block, dense_alone, kept, mapped, sent, sums
from gpu_coldstart.engine import spread
from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.segments import Segments, cluster, number_of_segments, shares_of_counts
from gpu_coldstart.spaces import Progress, Space

__all__ = ["Crowd", "segments"]


def segments(
    engine: Engine,
    logs: Logs,
    space: Space,
    config: Config,
    progress: Progress,
    *,
    users: DataFrame,
    held: HostArray,
) -> Segments:
    """As :func:`gpu_coldstart.segments.fit`, of all warm users.

    It starts from segments of the users that the driver holds; so there are no more than these.

    Parameters
    ----------
    users : DataFrame of :data:`gpu_coldstart.distributed.blocks.BLOCK`
        What all warm users played, and where they are.
    held : HostArray of int32
        See :class:`gpu_coldstart.distributed.warm.Histories`.

    Returns
    -------
    Segments
        Labels are of the users that the driver holds.
    """
    options = config.segments

    def report(iteration: int, inertia: float) -> None:
        progress(iteration + 1, options.iterations + 2, f"inertia {inertia:.6g}")

    with kept(users) as everyone:
        k = number_of_segments(options.k, logs.n_warm)
        if not options.k:
            k = min(number_of_segments(0, _number(everyone)), logs.n_warm)
        start = cluster(engine, space.users, k, options, config.seed).centroids
        crowd = Crowd(dense_alone(everyone))
        cut = spread.kmeans(crowd, engine.to_host(start), options.iterations, report)
        progress(options.iterations + 1, options.iterations + 2, "popular tracks")
        counts = _counts(engine, everyone, cut, logs.n_tracks)
    labels = spread.labels_of(cut, held, engine.to_host(space.users))
    shares = shares_of_counts(engine, counts, engine.asarray(cut.sizes), of=options.popularity)
    return Segments(engine.asarray(cut.centroids), engine.asarray(labels), shares, cut.inertia)


class Crowd:
    """Users where they are in a space, in executors; a :class:`spread.Crowd`.

    Parameters
    ----------
    users : DataFrame of blocks
        Their matrices are not looked at.
    """

    def __init__(self, users: DataFrame):
        self._users = users

    def sums(self, centroids: HostArray) -> HostArray:
        """See :class:`spread.Crowd`."""
        k, d = centroids.shape

        def add(block: Block, out: HostArray) -> None:
            spread.add_points(_places(block), known.value, out)

        with sent(self._users, centroids) as known:
            return sums(self._users, add, (k, d + 2), np.float64)

    def farthest(self, centroids: HostArray, several: HostArray, n: int) -> spread.Far:
        """See :class:`spread.Crowd`."""

        def found(block: Block) -> pa.Table:
            centroids, several = known.value
            far = spread.farthest(block.rows, _places(block), centroids, several, n)
            points = pa.array([point.tobytes() for point in far.points], pa.binary())
            return pa.table([*far[:3], points], ["number", "label", "square", "point"])

        with sent(self._users, (centroids, several)) as known:
            every = mapped(self._users, found, "number int, label int, square float, point binary")
            most = every.orderBy(col("square").desc(), "number").limit(n).toArrow()
        points = [np.frombuffer(point.as_buffer(), np.float32) for point in most["point"]]
        numbers, labels, squares = (
            np.asarray(most[name]) for name in ("number", "label", "square")
        )
        return spread.Far(
            numbers, labels, squares, np.reshape(points, (len(numbers), centroids.shape[1]))
        )


def _number(users: DataFrame) -> int:
    """How many users there are."""
    total = users.agg(expr("sum(length(rows)) AS bytes")).first()
    assert total is not None  # a sum has one row
    return int(total["bytes"]) // np.dtype(np.int32).itemsize


def _counts(engine: Engine, users: DataFrame, cut: spread.Cut, n_tracks: int) -> Csr:
    """How many members of each segment streamed each track [k, tracks]."""
    k = len(cut.centroids)

    def counted(block: Block) -> pa.Table:
        cpu = spread.CpuEngine()
        labels = spread.labels_of(known.value, block.rows, _places(block))
        counts = cpu.segment_counts(labels, block.matrix, k)
        segment, track = entries(cpu, counts)
        members = counts.data.astype(np.int64)
        return pa.table({"segment": segment, "track": track, "members": members})

    with sent(users, cut) as known:
        parts = mapped(users, counted, "segment int, track int, members long")
        added = parts.groupBy("segment", "track").agg(expr("sum(members) AS members")).toArrow()
    segment, track, members = (
        engine.asarray(np.asarray(added[name])) for name in ("segment", "track", "members")
    )
    return engine.csr(segment, track, members.astype(engine.xp.float32), (k, n_tracks))


def _places(block: Block) -> HostArray:
    assert block.dense is not None  # placed when the block was made
    return block.dense
