"""Segments of all warm users, of whom the driver holds some, are those that loops here find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.sql import SparkSession

from gpu_coldstart import Dataset, segments
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.distributed import SparkDataset, blocks, warm
from gpu_coldstart.distributed.blocks import Block
from gpu_coldstart.distributed.segments import Crowd
from gpu_coldstart.engine import choose, spread
from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.segments import cluster, fit
from gpu_coldstart.spaces import Space, silent, unit_rows
from gpu_coldstart.spaces.tt_svd import TtSvd
from gpu_coldstart.spaces.ut_als import UtAls, affinity, als_options
from tests.distributed.test_spaces import configured, of_all
from tests.engine.test_spread import Scattered, lloyd
from tests.worlds import dense

K = 9
SETTINGS: dict[str, Any] = {
    "segments__iterations": 3,
    "ut_als__factors": 6,
    "tt_svd__dimension": 6,
}


def solved(tracks: HostArray, drawn: HostArray, options: Any) -> HostArray:
    """Users [users, d] whose normal equations, given the tracks, are solved one by one."""
    y = tracks.astype(np.float64)
    ridge = options.regularization * np.eye(y.shape[1])
    users = []
    for row in drawn:
        c = 1 + options.confidence * row
        users.append(np.linalg.solve(y.T @ (c[:, None] * y) + ridge, y.T @ (c * (row > 0))))
    found: HostArray = unit_rows(np.array(users, np.float32))
    return found


@pytest.mark.spark
@pytest.mark.parametrize(
    ("name", "of", "days", "k"), [("tt-svd", "members", 0, 0), ("ut-als", "listens", 5, K)]
)
def test_segments_of_all(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, name: str, of: str, days: int, k: int
) -> None:
    del spark  # is active, and so used
    monkeypatch.setattr(warm, "_USERS", 50)
    monkeypatch.setattr(blocks, "_CHUNK", 40)
    monkeypatch.setattr(segments, "_WARM_USERS_EACH", 13)  # of 120: K
    settings = {"segments__k": k, "segments__popularity": of, **SETTINGS}
    settings |= {"segments__popularity_days": days}
    config = configured(split__warm_users=60, **settings)
    cpu, tables = choose("cpu")[0], generate(config.world, 0)
    dataset = SparkDataset.of(Dataset.from_frames(**tables), None)
    few, _ = Dataset.from_frames(**tables).index(cpu, config, silent)
    every = of_all(cpu, tables, few, **settings)
    mine = np.searchsorted(every.user_ids, few.user_ids[:60])

    fitted: Any = {"tt-svd": TtSvd, "ut-als": UtAls}[name]
    whole = fitted.fit(cpu, every, config.of(name), 0, silent)
    space, places = Space(name, whole.tracks, whole.users[mine]), whole.users
    if name == "ut-als":
        drawn = dense(cpu, affinity(cpu, every, config.ut_als))
        places = solved(space.tracks, drawn, als_options(config.ut_als, 0))
        x = np.concatenate([places[mine], np.sqrt(0.1) * np.eye(6)])
        y = np.concatenate([space.users - places[mine], np.zeros((6, 6))])
        places = unit_rows(places + (places @ np.linalg.lstsq(x, y)[0]).astype(np.float32))
    found = dataset.segments(cpu, few, space, config, silent)

    start = cluster(cpu, space.users, K, config.segments, 0).centroids
    centroids, labels, _ = lloyd(places, start, config.segments.iterations)
    assert_allclose(found.centroids, centroids, atol=1e-4)
    plays = dense(cpu, every.plays) > 0
    assert plays.any(axis=1).all() == (days == 0)
    wanted = np.array([plays[labels == label].sum(axis=0) for label in range(K)], np.float32)
    sizes = np.bincount(labels, minlength=K) if of == "members" else wanted.sum(axis=1)
    assert_array_equal(dense(cpu, found.shares), wanted / sizes.astype(np.float32)[:, None])
    assert_allclose(found.inertia, np.square(places - centroids[labels]).sum(), rtol=1e-4)
    if name == "tt-svd":
        assert_array_equal(found.labels, labels[mine])
    else:  # held users are where the factorisation left them
        assert (found.labels == labels[mine]).mean() > 0.9


@pytest.mark.spark
def test_segments_that_nobody_is_near(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    points = random.integers(-4, 5, (50, 3)).astype(np.float32)
    start = points[:9].copy()
    start[4:] += 1000
    none = Csr(np.zeros(0), np.zeros(0), np.zeros(0), (0, 0))
    parts = np.array_split(np.arange(50), 5)
    packed = [blocks.packed(Block(i, rows, none, points[rows])) for i, rows in enumerate(parts)]
    crowd = Crowd(blocks.dense_alone(spark.createDataFrame(pa.concat_tables(packed))))
    found = spread.kmeans(crowd, start, 0, lambda *_: None)
    wanted = spread.kmeans(Scattered(points), start, 0, lambda *_: None)
    assert_array_equal(found.moved, wanted.moved)
    assert len(found.moved[0]) == 5
    assert_allclose(found.centroids, wanted.centroids, atol=1e-6)


def test_who_holds_all_cuts_them() -> None:
    """Without Spark, which would find the same."""
    config = configured(segments__k=K, **SETTINGS)
    cpu, plain = choose("cpu")[0], Dataset.from_frames(**generate(config.world, 0))
    logs, _ = plain.index(cpu, config, silent)
    space = TtSvd.fit(cpu, logs, config.tt_svd, 0, silent)
    found = SparkDataset.of(plain, None).segments(cpu, logs, space, config, silent)
    wanted = fit(cpu, logs, space, config.segments, 0)
    assert_array_equal(found.labels, wanted.labels)
