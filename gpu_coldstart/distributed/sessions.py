"""Spark sessions, and what keeps one from starting."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from gpu_coldstart.errors import UserError, first_line

__all__ = ["python_of_workers", "refused", "session"]

_OWN = re.compile(rf"{UserError.__name__}: (.+)")
"""The last line of the traceback of an executor."""

_MISSING = re.compile(r"ModuleNotFoundError: (No module named .+)")
"""What a worker says whose Python is not ours."""

_CAUSE = re.compile("Caused by: [\\w.$]+: (.+)")
"""What Java threw first."""

_ENDED = (
    "Java ended while Spark worked, most likely as its heap was full: set spark.driver.memory "
    "higher, in spark-defaults.conf or by PYSPARK_SUBMIT_ARGS='--driver-memory 4g pyspark-shell' "
    "in the environment, and start again"
)
"""What to say where :func:`_ended`."""

_ROW = re.compile(", row [0-9]+, counting from 0")
"""Where something stands among the rows that one task was dealt, which tells people nothing."""


def python_of_workers() -> None:
    """Have the workers on this machine run the Python of this process.

    Spark takes the ``python3`` of the path, which in a virtual environment that nobody activated
    is one without this package. A ``PYSPARK_PYTHON`` that is set stays as it is.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


@contextmanager
def session(master: str | None = None) -> Iterator[SparkSession]:
    """The session that is active already, or one of our own, which ends with the block.

    Parameters
    ----------
    master : str or None
        Where one of our own runs, such as ``"local[*]"`` or ``"spark://HOST:7077"``; None for what
        the surroundings say (``spark-submit``, ``spark-defaults.conf``).

    Raises
    ------
    UserError
        When none can be started, or Spark refuses what it is asked in the block.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        with refused():
            yield active
        return
    builder = SparkSession.builder.appName("gpu-coldstart")
    # What the driver collects are counts, which it has to hold in any case.
    builder = builder.config("spark.driver.maxResultSize", "0")
    builder = builder.config("spark.ui.showConsoleProgress", "false")  # lines of ours are there
    # What is kept is in as few parts as fit it, not 200, each of which takes a pass 0.1 s.
    builder = builder.config("spark.sql.optimizer.canChangeCachedPlanOutputPartitioning", "true")
    # Of a thread that runs out of memory Spark may not hear, and then waits for it for good.
    builder = builder.config("spark.driver.defaultJavaOptions", "-XX:+ExitOnOutOfMemoryError")
    if master is not None:
        builder = builder.master(master)
        if master.startswith("local"):
            python_of_workers()
    try:
        own = builder.getOrCreate()
    except Exception as error:  # py4j passes on whatever Java throws
        raise UserError(
            f"Spark does not start ({first_line(error)}): it needs Java 17 or later on the path or "
            "in JAVA_HOME, and a --master that can be reached"
        ) from error
    logging.getLogger().addFilter(_unsaid)
    try:
        with refused():
            yield own
    finally:
        with suppress(Py4JError, ConnectionError):  # where Java has ended
            own.stop()
        logging.getLogger().removeFilter(_unsaid)


@contextmanager
def refused() -> Iterator[None]:
    """Turn what Spark, or our own code in its executors, refuses into a :class:`UserError`."""
    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        if _ended():
            raise UserError(_ENDED) from error
        if isinstance(error, ConnectionError):
            raise
        own = _OWN.search(str(error))
        if own:
            raise UserError(_ROW.sub("", own[1])) from error
        missing = _MISSING.search(str(error))
        if missing:
            raise UserError(
                f"the Python of Spark's workers cannot do this ({missing[1].rstrip()}): set "
                "PYSPARK_PYTHON to one in which gpu-coldstart is installed"
            ) from error
        causes = _CAUSE.findall(str(error))
        said = causes[-1].rstrip(". ") if causes else first_line(error)
        raise UserError(f"Spark cannot do this: {said}") from error


def _unsaid(record: logging.LogRecord) -> bool:
    """Whether a line of the log is none in which py4j tells of an error that it raises, too."""
    return record.getMessage() != "Exception while sending command."


def _ended() -> bool:
    """Whether the Java on which Spark's driver ran is there no more."""
    context = SparkContext._active_spark_context
    if context is None:
        return False
    try:
        # Typed as optional, as it is None until a context has started; an active one has.
        context._jvm.System.nanoTime()  # type: ignore[union-attr]
    except (Py4JError, ConnectionError):
        return True
    return False
