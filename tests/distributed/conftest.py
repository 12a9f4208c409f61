"""One Spark session for all tests of a process, where there is a Java to run it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from gpu_coldstart.distributed.sessions import python_of_workers

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # In tables of some rows, all time is spent on planning and compiling.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    # Whatever the session's zone is, moments are in UTC.
    "spark.sql.session.timeZone": "America/St_Johns",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session on two threads."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip(
            "there is no Java, on which Spark runs: apt-get install openjdk-17-jre-headless"
        )
    python_of_workers()
    builder = SparkSession.builder.master("local[2]")
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
