"""An executor dies in the middle: Spark repeats what is lost, with the same answer.

In a cluster of two executors, each a process of its own. That takes a minute and a Spark context of
its own, hence only ``make spark-test`` does it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyspark
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import SparkSession

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic import frames
from gpu_coldstart.distributed import SparkDataset, recommend
from gpu_coldstart.distributed.sessions import python_of_workers
from gpu_coldstart.engine import choose
from gpu_coldstart.runs.artifacts import encode
from gpu_coldstart.spaces import silent
from tests.distributed.test_recommending import ORDER, frame
from tests.test_logs import CONFIGS
from tests.worlds import some_world

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkSession]:
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    python_of_workers()
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "700m",
        "spark.sql.shuffle.partitions": "4",
        "spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[2]),
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


def executors(app: str) -> list[int]:
    """Processes of the executors of an application."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_text().split("\0")
        except OSError:  # it has just ended
            continue
        if app in words and "org.apache.spark.executor.CoarseGrainedExecutorBackend" in words:
            found.append(int(place.parent.name))
    return sorted(found)


@contextmanager
def one_killed(spark: SparkSession, jobs: int) -> Iterator[None]:
    """Kill an executor once so many jobs of the block are done and another one works."""
    context, killed, done = spark.sparkContext, threading.Event(), threading.Event()
    before = executors(context.applicationId)
    assert len(before) == 2
    tracker = context.statusTracker()
    start = len(tracker.getJobIdsForGroup(None))

    def kill() -> None:
        while not done.is_set():
            enough = len(tracker.getJobIdsForGroup(None)) >= start + jobs
            if enough and any(
                (stage := tracker.getStageInfo(each)) and stage.numActiveTasks
                for each in tracker.getActiveStageIds()
            ):
                os.kill(before[0], signal.SIGKILL)
                killed.set()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert killed.is_set(), "all was done before"
    while len(executors(context.applicationId)) < 2:  # the next one needs both again
        time.sleep(0.1)
    assert before[0] not in executors(context.applicationId)


@pytest.mark.parametrize("jobs", [2, 7])
def test_counts_are_the_same(cluster: SparkSession, jobs: int) -> None:
    cpu, config = choose("cpu")[0], CONFIGS["all"]
    tables = some_world(1, n_users=40, n_events=9000).source()
    wanted = Dataset.from_frames(**tables).index(cpu, config, silent)
    with one_killed(cluster, jobs):
        found = SparkDataset.of(Dataset.from_frames(**tables), None).index(cpu, config, silent)
    for one, other in zip(wanted, found, strict=True):
        assert encode(cpu, one) == encode(cpu, other)


@pytest.mark.parametrize(("name", "jobs"), [("tt-svd", 3), ("ut-als", 12)])
def test_spaces_are_the_same(cluster: SparkSession, name: str, jobs: int) -> None:
    cpu, settings = choose("cpu")[0], {"spark.spaces": "executors", "ut_als.iterations": 3}
    config, dataset = (
        resolve(preset="tiny", settings=settings),
        Dataset.from_frames(**frames("tiny")),
    )
    logs, _ = dataset.index(cpu, config, silent)
    spread = SparkDataset.of(dataset, None)
    wanted = spread.space(name, cpu, logs, config, silent)
    with one_killed(cluster, jobs):
        found = spread.space(name, cpu, logs, config, silent)
    assert_allclose(found.tracks, wanted.tracks, atol=1e-6)
    assert_allclose(found.users, wanted.users, atol=1e-6)


def test_lists_are_the_same(cluster: SparkSession, tmp_path: Path) -> None:
    tables = frames("tiny")
    model = ColdStart(preset="tiny", strategies=["semi"], engine="cpu")
    model.fit(Dataset.from_frames(**tables)).save(tmp_path / "bundle")
    users, events = pa.table(tables["users"]), pa.table(tables["interactions"])
    wanted = model.recommend(users, events, k=5).sort_by(ORDER)
    lists = recommend(
        tmp_path / "bundle",
        frame(cluster, users),
        frame(cluster, events),
        batch=50,
        k=5,
        engine="cpu",
    )
    with one_killed(cluster, 0):
        found = lists.toArrow()
    assert found.sort_by(ORDER).to_pydict() == wanted.to_pydict()
