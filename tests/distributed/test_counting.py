"""Spark finds the logs, the truth, the notes and the words that one machine finds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from gpu_coldstart import Dataset
from gpu_coldstart.config.parameters import Config
from gpu_coldstart.distributed import SparkDataset
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.artifacts import encode
from gpu_coldstart.spaces import silent
from tests.test_logs import CONFIGS, config_of, small
from tests.test_losses import before_registration, sane_day
from tests.test_strays import CONFIG, sane
from tests.worlds import Raw, Row, event, some_world, stream, user

Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def cpu() -> Engine:
    return choose("cpu")[0]


def in_words(tables: Tables) -> Tables:
    """The same, but every id is a string."""
    for name, table in tables.items():
        for place, column in enumerate(table.column_names):
            if column.endswith("_id"):
                words = pc.binary_join_element_wise("id", table[column].cast(pa.string()), " ")
                table = table.set_column(place, column, words)
        tables[name] = table
    return tables


def unlike(tables: Tables) -> Tables:
    """The same, in types that Spark does not have."""
    table = tables["interactions"]
    for name, kind in (("count", pa.uint64()), ("action", None), ("timestamp", pa.timestamp("ns"))):
        column = table[name].cast(kind) if kind else table[name].dictionary_encode()
        table = table.set_column(table.column_names.index(name), name, column)
    return {**tables, "interactions": table}


def of_days(tables: Tables) -> Tables:
    """The same, but interactions know their days only."""
    table = tables["interactions"]
    place = table.column_names.index("timestamp")
    days = table["timestamp"].cast(pa.date32(), safe=False)
    return {**tables, "interactions": table.set_column(place, "timestamp", days)}


def odd() -> Raw:
    """Split by time, with somebody too young to be measured, strangers, and an unlisted kind."""
    raw = some_world(11, split=False, n_users=30)
    raw.users.append(user(2**41, 72, country="FR", age=30))
    first = raw.tracks[0]["track_id"]
    raw.interactions += [stream(2**41, 72, first), stream(2**42, 3, first), stream(2**41, 72, 999)]
    raw.interactions += [event(2**41, 73, "stream", "playlist", 1000)]
    raw.playlists = None
    return raw


def with_wrong_clocks(*, splits: bool) -> Raw:
    raw = sane(splits)
    raw.interactions += [
        stream(who, day, 6) for who, day in [(3, 20_000), (17, 25_000), (158, 200)]
    ]
    return raw


def elsewhere() -> Raw:
    """Registered by the clock of another time zone."""
    raw = sane_day()
    for row in raw.users:
        row["registered_at"] = row["registered_at"].replace(
            hour=(row["registered_at"].hour + 9) % 24
        )
    return raw


WORLDS: dict[str, tuple[Callable[[], Tables], Config]] = {
    "given split": (lambda: unlike(some_world(0).source()), CONFIGS["first days"]),
    "strings": (lambda: in_words(some_world(3).source()), CONFIGS["short truth"]),
    "by time": (odd().source, config_of(cold_share=0.2, truth_days=5, warm_users=15)),
    "days": (
        lambda: of_days(some_world(5, playlists=False, counts=False).source()),
        config_of(warm_until="first-cold-day"),
    ),
    "wrong clocks": (with_wrong_clocks(splits=False).source, CONFIG),
    "wrong clocks, given split": (with_wrong_clocks(splits=True).source, CONFIG),
    "another time zone": (elsewhere().source, Config()),
}


@pytest.mark.spark
@pytest.mark.parametrize("name", WORLDS)
def test_logs_and_truth_are_those_of_one_machine(
    spark: SparkSession, cpu: Engine, name: str, tmp_path: Path
) -> None:
    del spark  # is active, and so used
    make, config = WORLDS[name]
    tables = make()
    logs, truth = Dataset.from_frames(**tables).index(cpu, config, silent)
    if "clocks" in name:  # read where they lie, in parts
        folder = tmp_path / "logs [1] 100%#" / "month=1"
        folder.mkdir(parents=True)
        for part in range(2):
            some = tables["interactions"].slice(part * 99, 99 if part == 0 else None)
            pq.write_table(some, folder / f"{part}.parquet")
        source: dict[str, Any] = {**tables, "interactions": folder.parent}
        dataset = SparkDataset(lambda: source)
    else:
        dataset = SparkDataset.of(Dataset.from_frames(**tables), None)
    again, later = dataset.index(cpu, config, silent)
    assert logs.notes == again.notes
    assert encode(cpu, logs) == encode(cpu, again)
    assert encode(cpu, truth) == encode(cpu, later)


def words(cpu: Engine, dataset: Dataset, config: Config) -> str:
    """What a data set is refused with, without numbers of rows, in any order."""
    with pytest.raises(UserError) as caught:
        dataset.index(cpu, config, silent)
    found = re.sub(r", row \d+, counting from 0(, and \d+ more)?", "", str(caught.value))
    return "; ".join(sorted(found.split("; ")))


def broken() -> Tables:
    """A wrong value in every column that checks them."""
    rows = small().interactions
    rows[0] |= {"user_id": None}
    rows[1] |= {"timestamp": rows[1]["timestamp"].replace(year=1970)}
    rows[2] |= {"action": "hum"}
    rows[3] |= {"entity": "label"}
    rows[4] |= {"entity_id": None}
    rows[5] |= {"count": 0}
    return Raw(small().users, small().tracks, rows).source()


def changed(tables: Tables, column: str, values: Any) -> Tables:
    table = tables["interactions"]
    place = table.column_names.index(column)
    return {**tables, "interactions": table.set_column(place, column, values)}


def mixed() -> Tables:
    """Words for users, numbers for tracks; and one track that is no number."""
    tables = small().source()
    words = in_words(dict(tables))
    ids = tables["interactions"]["entity_id"].cast(pa.string()).to_pylist()
    tables = {
        "users": words["users"],
        "tracks": tables["tracks"],
        "interactions": words["interactions"],
    }
    return changed(tables, "entity_id", pa.array(["050", *ids[1:]]))


def lost(change: Callable[[Row], Row]) -> Tables:
    raw = small()
    raw.interactions = [change(row) for row in raw.interactions]
    return raw.source()


def strangers() -> Tables:
    tables = small().source()
    return changed(tables, "user_id", pa.array([777] * tables["interactions"].num_rows))


REFUSED: dict[str, Callable[[], Tables]] = {
    "values": broken,
    "columns": lambda: {
        **small().source(),
        "interactions": small().source()["interactions"].drop_columns(["action"]),
    },
    "types": lambda: changed(small().source(), "timestamp", pa.array([1] * 7)),
    "sorts": lambda: {**small().source(), "users": in_words(small().source())["users"]},
    "no numbers": mixed,
    "no rows": lambda: {
        **small().source(),
        "interactions": small().source()["interactions"].slice(0, 0),
    },
    "too early": lambda: lost(before_registration),
    "no truth": lambda: lost(lambda row: {**row, "action": "skip"}),
}


@pytest.mark.spark
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_the_same_words(
    spark: SparkSession, cpu: Engine, name: str
) -> None:
    del spark
    dataset = Dataset.from_frames(**REFUSED[name]())
    found = words(cpu, SparkDataset.of(dataset, None), Config())
    assert found == words(cpu, dataset, Config())


@pytest.mark.spark
def test_ids_of_other_logs(spark: SparkSession, cpu: Engine) -> None:
    del spark
    dataset = SparkDataset.of(Dataset.from_frames(**strangers()), None)
    found = words(cpu, dataset, Config())
    assert found.startswith("7 of 7 interactions name ids that the other tables do not have, the")
    assert "777 in interactions, column 'user_id'" in found


@pytest.mark.spark
def test_rows_that_break_a_rule_are_counted(spark: SparkSession, cpu: Engine) -> None:
    del spark
    tables = changed(small().source(), "count", pa.array([1, 0, 0, 1, -5, 1, 1]))
    found = words(cpu, SparkDataset.of(Dataset.from_frames(**tables), None), Config())
    assert re.fullmatch(
        "interactions, column 'count', 3 rows, in one of them: (0|-5) is below 1: drop the row, or "
        "leave the column out to count each row once",
        found,
    )


@pytest.mark.spark
def test_tables_of_spark(spark: SparkSession, cpu: Engine) -> None:
    """Frames of any Spark source, numbers in whatever type."""
    tables = some_world(2).source()
    config = config_of(warm_until="all")
    logs, _ = Dataset.from_frames(**tables).index(cpu, config, silent)
    frames = {}
    for name, table in tables.items():
        columns = table.column_names
        for column in {"timestamp", "registered_at", "created_at"} & set(columns):
            moments = table[column].cast(pa.timestamp("us", "UTC"))
            table = table.set_column(columns.index(column), column, moments)
        frames[name] = spark.createDataFrame(table)
    interactions = frames["interactions"]
    wide = interactions.withColumn("count", interactions["count"].cast("decimal(9,1)"))
    dataset = SparkDataset.from_spark(**{**frames, "interactions": wide})
    assert encode(cpu, dataset.index(cpu, config, silent)[0]) == encode(cpu, logs)


@pytest.mark.spark
def test_what_spark_cannot_count(spark: SparkSession, cpu: Engine, tmp_path: Path) -> None:
    del spark
    tables: dict[str, Any] = small().source()
    (tmp_path / "logs.parquet").write_text("not Parquet")
    for name, says in [
        ("logs.csv", "which has no types"),
        ("logs.parquet", "not a Parquet file"),
    ]:
        source = {**tables, "interactions": tmp_path / name}
        broken = SparkDataset(partial(dict, source))
        with pytest.raises(UserError, match=says):
            broken.index(cpu, Config(), silent)
    with pytest.raises(UserError, match="this data set has none"):
        SparkDataset.of(SparkDataset(lambda: tables), None)
