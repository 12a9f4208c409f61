"""Counting interactions on Spark and on one machine, as logs grow.

``python -m bench.spark --times 1,2,4 --memory 2g`` writes the synthetic world of ``--preset``, with
every interaction so many times (at other seconds of its day), and lets each way make logs and truth
of it in a process of its own: one machine, and Spark on ``local[N]`` with a Java heap of no more
than ``--memory``. It prints a Markdown table of seconds, and of the most memory of a process and
its children together; where the two find other logs, it ends without one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart import Dataset
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic import frames
from gpu_coldstart.engine import choose
from gpu_coldstart.runs.artifacts import encode
from gpu_coldstart.spaces import silent

__all__ = ["family", "main"]

_PART = 5_000_000
"""Rows of a part file."""


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spark", description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--times", default="1,2,4")
    parser.add_argument("--memory", default="2g")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--data", type=Path, help="(a single measurement) the tables")
    parser.add_argument("--spark", action="store_true", help="(a single measurement) on Spark")
    given = parser.parse_args(arguments)
    for line in [json.dumps(_one(given))] if given.data else _growth(given):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _growth(given: argparse.Namespace) -> Iterator[str]:
    """The lines of the table."""
    tables = frames(given.preset)
    yield "| interactions | one machine | memory | Spark | memory | ratio |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for times in map(int, given.times.split(",")):
        with tempfile.TemporaryDirectory() as place:
            rows = _write(tables, Path(place), times)
            one, spark = (_apart(given, Path(place), spark=spark) for spark in (False, True))
        if one["digest"] != spark["digest"]:
            raise SystemExit("the logs differ")
        cells = [f"{rows / 1e6:.1f} million"]
        for each in (one, spark):
            cells += [f"{each['seconds']:.1f} s", f"{each['memory'] / 2**30:.1f} GB"]
        yield f"| {' | '.join(cells)} | {spark['seconds'] / one['seconds']:.1f} |"


def _write(tables: dict[str, Any], place: Path, times: int) -> int:
    """The tables, every interaction so many times; returns the number of interactions."""
    for name, table in tables.items():
        if name != "interactions":
            pq.write_table(table, place / f"{name}.parquet")
    once = tables["interactions"]
    column = once.column_names.index("timestamp")
    moments = np.asarray(once["timestamp"].cast(pa.timestamp("us")).cast(pa.int64()))
    (place / "interactions").mkdir()
    for part in range(times):
        midnight = moments - moments % 86_400_000_000
        later = midnight + (moments - midnight + part * 1_000_003) % 86_400_000_000
        table = once.set_column(column, "timestamp", pa.array(later).cast(pa.timestamp("us")))
        for start in range(0, len(table), _PART):
            name = f"{part:03}-{start // _PART:03}.parquet"
            pq.write_table(table.slice(start, _PART), place / "interactions" / name)
    return times * int(once.num_rows)


def _apart(given: argparse.Namespace, data: Path, *, spark: bool) -> dict[str, Any]:
    """One measurement in a process of its own, with the most memory of it and its children."""
    words = ["--data", str(data), "--preset", given.preset, "--memory", given.memory]
    words += ["--threads", str(given.threads), *(["--spark"] if spark else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.spark", *words], stdout=subprocess.PIPE
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, family(process.pid))))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the measurement ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**found, "memory": peak}


def family(process: int) -> list[int]:
    """A process and all that come from it."""
    children = Path(f"/proc/{process}/task")
    found = [process]
    try:
        for task in children.iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    except OSError:  # it has just ended
        pass
    return found


def _resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _one(given: argparse.Namespace) -> dict[str, Any]:
    """Logs and truth of some tables: seconds, and a digest of what came out."""
    engine, config = choose("cpu")[0], resolve(preset=given.preset)
    dataset = Dataset.from_parquet(given.data)
    start = time.perf_counter()
    if given.spark:
        from pyspark.sql import SparkSession

        from gpu_coldstart.distributed import SparkDataset
        from gpu_coldstart.distributed.sessions import python_of_workers

        python_of_workers()
        builder = SparkSession.builder.master(f"local[{given.threads}]")
        for key, value in {
            "spark.driver.memory": given.memory,
            "spark.driver.maxResultSize": "0",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": str(8 * given.threads),
        }.items():
            builder = builder.config(key, value)
        builder.getOrCreate()
        dataset = SparkDataset.of(dataset, None)
    logs, truth = dataset.index(engine, config, silent)
    seconds = time.perf_counter() - start
    digest = hashlib.sha256(encode(engine, logs) + encode(engine, truth)).hexdigest()
    return {"seconds": seconds, "digest": digest}


if __name__ == "__main__":
    main()
