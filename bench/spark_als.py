"""UT-ALS on Spark: our executors' conjugate gradients and MLlib's ALS, objective against time.

``python -m bench.spark_als --preset small --factors 64 --iterations 15`` factorises the affinities
of the synthetic world both ways on ``local[N]``, from the same cached entries and with the same
confidences, and prints a Markdown table: after which seconds the objective of our ALS, a cell, was
what. Seconds are those of all cores, of this process and all that come from it, so that on one
thread other work on the machine does not count. MLlib is run anew for each of its numbers of
iterations, as it tells of none in between.

MLlib weighs a row's regularisation by its entries; ``--weighted`` is its ``regParam``, by default
what makes our weight of a mean row of users. Its objective is another one, then, so that the part
of ours that is no regularisation is shown as well.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession

from bench.spark import family
from bench.sweep import say
from gpu_coldstart import Dataset
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.datasets.synthetic import frames
from gpu_coldstart.distributed.blocks import spread_out
from gpu_coldstart.distributed.sessions import python_of_workers
from gpu_coldstart.distributed.ut_als import Users
from gpu_coldstart.engine import choose, spread
from gpu_coldstart.engine.base import AlsOptions, Csr, Engine, HostArray
from gpu_coldstart.spaces import silent
from gpu_coldstart.spaces.ut_als import affinity, als_options

__all__ = ["main", "session", "worked"]


class Point(NamedTuple):
    """How far a factorisation is after some time."""

    iterations: int
    seconds: float
    objective: float
    unweighted: float


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spark_als", description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--mllib", default="1,3,6,10,15", help="MLlib's numbers of iterations")
    parser.add_argument("--weighted", type=float)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args(arguments)
    for line in _lines(given):
        say(line)


def _lines(given: argparse.Namespace) -> Iterator[str]:
    engine = choose("cpu")[0]
    config = resolve(preset=given.preset)
    logs, _ = Dataset.from_frames(**frames(given.preset)).index(engine, config, silent)
    chosen = config.ut_als.replace(factors=given.factors, iterations=given.iterations)
    drawn, options = affinity(engine, logs, chosen), als_options(chosen, 0)
    weighted = given.weighted or options.regularization * drawn.shape[0] / drawn.nnz
    spark = session(given.threads)
    n_users, n_tracks = drawn.shape
    yield f"{n_users} users, {n_tracks} tracks, {drawn.nnz} entries; regParam {weighted:.3g}"
    yield ""
    yield "| | iterations | seconds | objective | without regularisation |"
    yield "|---|---:|---:|---:|---:|"
    for point in _ours(spark, engine, drawn, options):
        yield _row("ours", point)
    table = _entries(spark, engine, drawn)
    for iterations in map(int, given.mllib.split(",")):
        point = _mllib(table, engine, drawn, options, iterations=iterations, weighted=weighted)
        yield _row("MLlib", point)


def _row(name: str, point: Point) -> str:
    n, seconds, objective, unweighted = point
    return f"| {name} | {n} | {seconds:.1f} | {objective:.5f} | {unweighted:.5f} |"


def session(threads: int) -> SparkSession:
    """Spark on so many threads of this machine."""
    python_of_workers()
    builder = SparkSession.builder.master(f"local[{threads}]")
    for key, value in {
        "spark.driver.memory": "3g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(2 * threads),
        "spark.default.parallelism": str(2 * threads),
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


_seen: dict[int, int] = {}
"""For how many ticks each process has worked when it was last looked at."""


def worked() -> float:
    """Seconds for which cores have worked for this process and all that come from it."""
    for process in family(os.getpid()):
        try:
            numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        _seen[process] = int(numbers[11]) + int(numbers[12])
    return sum(_seen.values()) / os.sysconf("SC_CLK_TCK")


def _ours(spark: SparkSession, engine: Engine, drawn: Csr, options: AlsOptions) -> list[Point]:
    confidence = drawn.with_data(1 + np.float32(options.confidence) * drawn.data)
    points: list[tuple[int, float, float]] = []
    with Users(spread_out(spark, confidence), drawn.shape[1], options) as everyone:
        start = worked()
        tracks = spread.als(
            everyone,
            options,
            lambda i, loss: points.append((i + 1, worked() - start, loss)),
        )
        users = everyone.factors(np.arange(drawn.shape[0], dtype=np.int32))
    unweighted = _objective(engine, drawn, options, users, tracks)[1]
    rows = [Point(*point, np.nan) for point in points]
    return [*rows[:-1], rows[-1]._replace(unweighted=unweighted)]


def _entries(spark: SparkSession, engine: Engine, drawn: Csr) -> DataFrame:
    rows, columns = entries(engine, drawn)
    table = pa.table({"user": rows, "item": columns, "rating": drawn.data})
    frame = spark.createDataFrame(table).persist()
    frame.count()
    return frame


def _mllib(
    table: DataFrame,
    engine: Engine,
    drawn: Csr,
    options: AlsOptions,
    *,
    iterations: int,
    weighted: float,
) -> Point:
    als = ALS(
        rank=options.factors,
        maxIter=iterations,
        regParam=weighted,
        implicitPrefs=True,
        alpha=options.confidence,
        seed=0,
    )
    start = worked()
    model = als.fit(table)
    seconds = worked() - start
    sides = []
    for frame, n in zip((model.userFactors, model.itemFactors), drawn.shape, strict=True):
        found = frame.toArrow()
        factors = np.zeros((n, options.factors), np.float32)
        factors[np.asarray(found["id"])] = np.stack(found["features"].to_pylist())
        sides.append(factors)
    return Point(iterations, seconds, *_objective(engine, drawn, options, *sides))


def _objective(
    engine: Engine, drawn: Csr, options: AlsOptions, users: HostArray, tracks: HostArray
) -> tuple[float, float]:
    """The objective a cell, and its part that is no regularisation."""
    rows, columns = entries(engine, drawn)
    x, y = users.astype(np.float64), tracks.astype(np.float64)
    total = float(((x.T @ x) * (y.T @ y)).sum())
    for start in range(0, drawn.nnz, 100_000):
        some = slice(start, start + 100_000)
        f = np.einsum("ij,ij->i", x[rows[some]], y[columns[some]])
        c = 1 + options.confidence * drawn.data[some].astype(np.float64)
        total += float((c * (1 - f) ** 2 - f**2).sum())
    cells = drawn.shape[0] * drawn.shape[1]
    ridge = options.regularization * float((x * x).sum() + (y * y).sum())
    return (total + ridge) / cells, total / cells


if __name__ == "__main__":
    main()
