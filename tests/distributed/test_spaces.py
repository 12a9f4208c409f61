"""Spaces learned in executors are those that one machine learns.

That of playlists: in test_recommending.py, by a whole run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.sql import SparkSession

from gpu_coldstart import Dataset
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.catalogue import entries
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.distributed import SparkDataset, blocks, tt_svd, warm
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import Csr
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.settings import check_settings
from gpu_coldstart.spaces import silent, unit_rows
from gpu_coldstart.spaces.tt_svd import TtSvd
from gpu_coldstart.spaces.ut_als import UtAls
from tests.distributed.test_counting import in_words
from tests.runs.helpers import WORLD

Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def cpu() -> Engine:
    return choose("cpu")[0]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return generate(configured().world, 0)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_ROWS", 60)
    monkeypatch.setattr(tt_svd, "_TRACKS", 70)
    monkeypatch.setattr(warm, "_USERS", 50)


def configured(**settings: Any) -> Config:
    """Settings by keys with ``__`` for a point."""
    given = {f"world.{name}": value for name, value in WORLD.items()} | {
        "spark.spaces": "executors",
        "tt_svd.power_iterations": 0,
        "tt_svd.max_tracks": 10,
    }
    given |= {key.replace("__", "."): value for key, value in settings.items()}
    return resolve(preset="tiny", settings=given)


def of_all(cpu: Engine, tables: Tables, few: Logs, **settings: Any) -> Logs:
    """The logs of all warm users on one machine, with the numbers that few of them give tracks."""
    every, _ = Dataset.from_frames(**tables).index(cpu, configured(**settings), silent)
    place = {int(track): number for number, track in enumerate(few.track_ids)}
    order = np.array([place[int(track)] for track in every.track_ids])

    def renumbered(matrix: Csr) -> Csr:
        users, columns = entries(cpu, matrix)
        inside = columns < len(order)
        columns = np.where(inside, order[np.where(inside, columns, 0)], columns)
        return cpu.csr(users, columns, matrix.data, matrix.shape)

    return replace(
        few,
        n_warm=every.n_warm,
        user_ids=every.user_ids[: every.n_warm],
        history=renumbered(every.history),
        plays=renumbered(every.plays),
        favorites=renumbered(every.favorites),
    )


SAMPLE = configured(
    split__warm_users=3, tt_svd__smoothing=0.75, ut_als__iterations=2, ut_als__cg_steps=1
)


@pytest.fixture(scope="module")
def sampled(cpu: Engine, tables: Tables) -> tuple[SparkDataset, Logs, Logs]:
    """Strings for ids, on Spark; the logs of 3 warm users, of some blocks none; those of all."""
    some = in_words({name: each for name, each in tables.items() if name != "playlists"})
    dataset = Dataset.from_frames(**some)
    few, _ = dataset.index(cpu, SAMPLE, silent)
    assert few.n_warm == 3
    return SparkDataset.of(dataset, None), few, of_all(cpu, some, few)


@pytest.mark.spark
def test_tt_svd_of_users_who_are_left_out(
    spark: SparkSession, cpu: Engine, sampled: tuple[SparkDataset, Logs, Logs]
) -> None:
    """To the last bit: counts are whole numbers, and rows are multiplied one by one.

    The data set has not seen these logs being made, as in a run that goes on.
    """
    del spark  # is active, and so used
    dataset, few, every = sampled
    found = dataset.space("tt-svd", cpu, few, SAMPLE, silent)
    wanted = TtSvd.fit(cpu, every, SAMPLE.tt_svd, 0, silent)
    assert found.notes == wanted.notes != ()
    assert_array_equal(found.tracks, wanted.tracks)
    ones = few.history.with_data(np.ones(few.history.nnz, np.float32))
    assert_array_equal(found.users, unit_rows(cpu.pool(ones, wanted.tracks)))


@pytest.mark.spark
def test_ut_als_of_users_who_are_left_out(
    spark: SparkSession,
    cpu: Engine,
    sampled: tuple[SparkDataset, Logs, Logs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del spark
    dataset, few, every = sampled
    monkeypatch.setattr(blocks, "_CHUNK", 1000)
    found = dataset.space("ut-als", cpu, few, SAMPLE, silent)
    wanted = UtAls.fit(cpu, every, SAMPLE.ut_als, 0, silent)
    assert_allclose(found.losses, wanted.losses, rtol=1e-4)
    assert_allclose(found.tracks, wanted.tracks, atol=1e-3)
    mine = np.searchsorted(every.user_ids, few.user_ids[: few.n_warm])
    assert_allclose(found.users, wanted.users[mine], atol=1e-3)


@pytest.mark.spark
def test_nothing_to_factorise(spark: SparkSession, cpu: Engine, tables: Tables) -> None:
    del spark
    config = configured(tt_svd__min_count=1000)
    dataset = SparkDataset.of(Dataset.from_frames(**tables), None)
    logs, _ = Dataset.from_frames(**tables).index(cpu, config, silent)
    dataset.check(cpu, config, logs)
    with pytest.raises(UserError, match="no two tracks co-occur"):
        dataset.space("tt-svd", cpu, logs, config, silent)
    with pytest.raises(UserError, match="more than the 200 tracks"):
        dataset.check(cpu, configured(tt_svd__dimension=201), logs)


def test_spaces_that_executors_cannot_learn(cpu: Engine, tables: Tables) -> None:
    dataset, config = Dataset.from_frames(**tables), configured()
    logs, _ = dataset.index(cpu, config, silent)
    on_spark = SparkDataset.of(dataset, None)
    check_settings(cpu, config, on_spark, logs)
    with pytest.raises(UserError, match="are not on Spark: add --engine spark, or set it to"):
        check_settings(cpu, config, dataset, logs)
    others = configured(spaces="cml,ut-als,hlr")
    with pytest.raises(UserError, match="but not cml and hlr: leave that out of 'spaces'"):
        check_settings(cpu, others, on_spark, logs)
