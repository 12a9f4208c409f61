"""Lists made in executors are those of one machine; and the command counts on Spark."""

from __future__ import annotations

import importlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.distributed import recommend, refused
from gpu_coldstart.errors import UserError
from tests.runs.helpers import WORLD, command, synthetic

ORDER = [("user_id", "ascending"), ("rank", "ascending")]
Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def tables() -> Tables:
    given = {f"world.{name}": value for name, value in WORLD.items()}
    return generate(resolve(preset="tiny", settings=given).world, 0)


@pytest.fixture(scope="module")
def model(tables: Tables) -> ColdStart:
    made = ColdStart(preset="tiny", strategies=["semi"], engine="cpu", segments={"k": 6})
    return made.fit(Dataset.from_frames(**tables))


def frame(spark: SparkSession, table: pa.Table) -> DataFrame:
    """On Spark, its moments in UTC."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            moments = table.column(place).cast(pa.timestamp("us", "UTC"))
            table = table.set_column(place, field.name, moments)
    return spark.createDataFrame(table)


@pytest.mark.spark
def test_lists_are_those_of_one_machine(
    spark: SparkSession, tables: Tables, model: ColdStart, tmp_path: Path
) -> None:
    users = tables["users"].slice(0, 90)
    wanted = model.recommend(users, tables["interactions"], k=7, explain=True).sort_by(ORDER)
    model.save(tmp_path / "bundle")
    asked = frame(spark, users), frame(spark, tables["interactions"])
    lists = recommend(tmp_path / "bundle", *asked, engine="cpu", batch=30, k=7, explain=True)
    for _ in range(2):  # the second time, what is there is replaced
        lists.write.mode("overwrite").parquet(str(tmp_path / "lists"))
    assert (tmp_path / "lists" / "_SUCCESS").exists()
    assert pq.read_table(tmp_path / "lists").sort_by(ORDER).to_pydict() == wanted.to_pydict()
    alone = recommend(tmp_path / "bundle", asked[0].select("user_id"), engine="cpu", k=3)
    same = model.recommend(users.select(["user_id"]), k=3).sort_by(ORDER)
    assert alone.toArrow().sort_by(ORDER).to_pydict() == same.to_pydict()


@pytest.mark.spark
def test_a_model_learns_from_interactions_on_spark(
    spark: SparkSession, tables: Tables, model: ColdStart
) -> None:
    local = Dataset.from_frames(**tables)
    there = ColdStart(preset="tiny", strategies=["semi"], engine="spark", segments={"k": 6})
    users = tables["users"].slice(0, 90)
    wanted = model.recommend(users, tables["interactions"], k=7)
    for dataset in (local, local.on_spark()):
        assert there.fit(dataset).recommend(users, tables["interactions"], k=7).equals(wanted)
    assert "on Spark" in repr(local.on_spark())
    assert spark.version  # it was active, and still is


@pytest.mark.spark
def test_users_that_break_the_contract(
    spark: SparkSession, tables: Tables, model: ColdStart, tmp_path: Path
) -> None:
    model.save(tmp_path / "bundle")
    users = tables["users"].slice(0, 20)
    ages = pa.array([30] * 19 + [-3])
    users = users.set_column(users.column_names.index("age"), "age", ages)
    lists = recommend(tmp_path / "bundle", frame(spark, users), engine="cpu", k=7)
    with pytest.raises(UserError) as caught, refused():
        lists.toArrow()
    assert str(caught.value) == (
        "users, column 'age': -3 is outside 0 to 130: write null where the age is unknown"
    )
    nobody = frame(spark, users).limit(0)
    for asked, says in [(nobody, "has no rows"), (nobody.drop("user_id"), "no column 'user_id'")]:
        with pytest.raises(UserError, match=says):
            recommend(tmp_path / "bundle", asked)


@pytest.mark.spark
def test_the_command_counts_and_learns_on_spark(spark: SparkSession, tmp_path: Path) -> None:
    del spark  # is active, and so used
    options = [*synthetic(), "--strategies", "popularity,semi", "--space", "tt-svd"]
    plain = command(*options, "--engine", "cpu", "--out", tmp_path / "plain")
    there = ("--master", "local[2]", "--set", "spark.spaces=executors")
    ours = command(*options, "--engine", "cpu", *there, "--out", tmp_path / "spark")
    assert (plain.status, ours.status) == (0, 0), ours.err
    lists = [
        pq.read_table(tmp_path / name / "recommendations/tt-svd/semi.parquet")
        for name in ("plain", "spark")
    ]
    assert lists[0].equals(lists[1])


def test_workers_with_another_python() -> None:
    told = "Traceback\nModuleNotFoundError: No module named 'pyarrow'\n"
    sentence = r"\(No module named 'pyarrow'\): set PYSPARK_PYTHON to one in which"
    with pytest.raises(UserError, match=sentence), refused():
        raise PySparkException(told)


def test_java_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does once its heap is full; what py4j then raises is of many kinds."""

    class Gone:
        def __getattr__(self, name: str) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

    errors = ConnectionResetError(104, "reset"), Py4JError("An error occurred while calling o51.do")
    for error in errors:
        monkeypatch.setattr(SparkContext, "_active_spark_context", Gone())
        with pytest.raises(UserError, match=r"set spark\.driver\.memory higher"), refused():
            raise error
        monkeypatch.setattr(SparkContext, "_active_spark_context", None)
        with pytest.raises((ConnectionResetError, UserError), match=r"reset|o51"), refused():
            raise error


def test_a_data_set_without_interactions_and_no_pyspark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "--dataset",
        "deezer",
        "--data",
        tmp_path,
        "--engine",
        "spark",
        "--out",
        tmp_path / "x",
    ]
    refused = command(*options)
    assert refused.status == 2
    assert "has none: take another engine" in refused.err
    actual = importlib.import_module

    def missing(name: str, *arguments: str) -> object:
        if name == "gpu_coldstart.distributed":
            raise ImportError("No module named 'pyspark'")
        return actual(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", missing)
    refused = command("--engine", "spark", "--out", tmp_path / "x")
    assert refused.status == 2
    assert "pip install 'gpu-coldstart[spark]'" in refused.err
    with pytest.raises(UserError, match="PySpark is missing"):
        ColdStart(engine="spark").fit(Dataset(dict))
    assert not (tmp_path / "x").exists()
