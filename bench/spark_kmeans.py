"""k-means on Spark: our passes over users in executors and MLlib's KMeans, inertia against time.

``python -m bench.spark_kmeans --preset small --times 20 --segments 500`` cuts the users of the
synthetic world, where TT-SVD places them, each so many times with some noise, on ``local[N]``, and
prints a Markdown table: the inertia after which seconds of all cores, as in
:mod:`bench.spark_als`. Ours starts from the segments of one copy of the users, by one machine,
whose seconds are counted; MLlib from its k-means||, anew for each number of iterations. Getting
users to Spark is counted for neither.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col

from bench.spark_als import session, worked
from bench.sweep import say
from gpu_coldstart import Dataset
from gpu_coldstart.config.parameters import SegmentsConfig
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic import frames
from gpu_coldstart.distributed.blocks import Block, packed
from gpu_coldstart.distributed.segments import Crowd
from gpu_coldstart.engine import choose, spread
from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.segments import cluster
from gpu_coldstart.spaces import silent
from gpu_coldstart.spaces.tt_svd import TtSvd

__all__ = ["main"]

_ROWS = 1000
"""Users of a block."""


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spark_kmeans", description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--times", type=int, default=20, help="how often each user is there")
    parser.add_argument("--segments", type=int, default=500)
    parser.add_argument("--mllib", default="1,5,10,20", help="MLlib's numbers of iterations")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args(arguments)
    for line in _lines(given):
        say(line)


def _lines(given: argparse.Namespace) -> Iterator[str]:
    engine = choose("cpu")[0]
    config = resolve(preset=given.preset)
    logs, _ = Dataset.from_frames(**frames(given.preset)).index(engine, config, silent)
    once = TtSvd.fit(engine, logs, config.tt_svd, 0, silent).users
    users = np.tile(once, (given.times, 1))
    users += np.random.default_rng(0).normal(0, 0.02, users.shape).astype(np.float32)
    spark = session(given.threads)
    yield f"{users.shape[0]} users, {users.shape[1]} dimensions, {given.segments} segments"
    yield ""
    yield "| | iterations | seconds | inertia |"
    yield "|---|---:|---:|---:|"
    start = worked()
    held = users[: len(once)]
    centroids = cluster(engine, held, given.segments, SegmentsConfig(), 0).centroids
    began = worked()
    blocks = _blocks(spark, users)
    start += worked() - began
    passes: list[str] = []
    spread.kmeans(
        Crowd(blocks),
        centroids,
        20,
        lambda i, inertia: passes.append(_row("ours", i, worked() - start, inertia)),
    )
    yield from passes
    blocks.unpersist()
    table = _vectors(spark, users)
    for iterations in map(int, given.mllib.split(",")):
        began = worked()
        model = KMeans(k=given.segments, maxIter=iterations, tol=0.0, seed=0).fit(table)
        seconds = worked() - began
        centres = np.array(model.clusterCenters(), np.float32)
        yield _row("MLlib", iterations, seconds, _inertia(engine, users, centres))


def _row(name: str, iterations: int, seconds: float, inertia: float) -> str:
    return f"| {name} | {iterations} | {seconds:.1f} | {inertia:.1f} |"


def _inertia(engine: Engine, users: HostArray, centroids: HostArray) -> float:
    _, distances = engine.nearest(users, centroids, 1)
    return float(np.square(distances.astype(np.float64)).sum())


def _blocks(spark: SparkSession, users: HostArray) -> DataFrame:
    none = Csr(*(np.zeros(0),) * 3, (0, 0))
    parts = np.split(np.arange(len(users)), range(_ROWS, len(users), _ROWS))
    table = pa.concat_tables(
        packed(Block(number, rows, none, users[rows])) for number, rows in enumerate(parts)
    )
    return _cached(spark.createDataFrame(table.combine_chunks()))


def _vectors(spark: SparkSession, users: HostArray) -> DataFrame:
    table = pa.table({"place": pa.FixedSizeListArray.from_arrays(users.ravel(), users.shape[1])})
    frame = spark.createDataFrame(table.cast(pa.schema([("place", pa.list_(pa.float32()))])))
    return _cached(frame.select(array_to_vector(col("place")).alias("features")))


def _cached(frame: DataFrame) -> DataFrame:
    frame = frame.repartition(2 * frame.sparkSession.sparkContext.defaultParallelism).persist()
    frame.count()
    return frame


if __name__ == "__main__":
    main()
