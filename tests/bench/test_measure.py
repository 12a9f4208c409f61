"""Time, memory, threads and machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
import torch
from threadpoolctl import threadpool_info

from bench import machine, threads
from bench.measure import call
from gpu_coldstart.engine import Engine, choose
from tests.rehearsal.record import Stage


def test_time_and_result_are_those_of_the_call(engine: Engine, stand_ins: Stage | None) -> None:
    def doze() -> int:
        time.sleep(0.05)
        return 7

    result, taken = call(engine, "sleep", doze)
    assert result == 7
    # In a rehearsal, events tell no time.
    assert (taken.seconds >= 0.05) == (stand_ins is None)


def test_memory_that_is_given_back_is_seen() -> None:
    cpu = choose("cpu")[0]
    call(cpu, "nothing", lambda: None)
    _, small = call(cpu, "nothing", lambda: None)
    _, large = call(cpu, "ones", lambda: float(np.ones(80 << 17).sum()))
    assert small.peak_mb < 40
    assert 70 < large.peak_mb < 120


def test_free_memory_below_what_is_held_is_given_back_before() -> None:
    held = []

    def work() -> None:
        blocks = [bytearray(1 << 16) for _ in range(1000)]
        held.append(blocks[-1])  # keeps the C library from giving back what lies below by itself

    cpu = choose("cpu")[0]
    call(cpu, "first", work)
    _, again = call(cpu, "second", work)
    assert again.peak_mb > 40


def test_threads_are_held_and_given_back() -> None:
    before = torch.get_num_threads(), pa.cpu_count()
    with threads.limited(1):
        assert (torch.get_num_threads(), pa.cpu_count()) == (1, 1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert (torch.get_num_threads(), pa.cpu_count()) == before


def test_nothing_that_reads_the_variables_is_loaded_before_they_are_set() -> None:
    code = (
        "import sys, bench.__main__\n"
        "libraries = {'numpy', 'scipy', 'torch', 'pyarrow', 'sklearn', 'faiss', 'polars'}\n"
        "print(sorted(libraries & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_announce_sets_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "9")
    threads.announce(3)
    assert {os.environ[name] for name in threads.VARIABLES} == {"3"}


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "rates", lambda engine: {"copy": 1.0})
    found = machine.describe(choose("cpu")[0], 2)
    assert found["engine"] == "cpu"
    assert found["threads"] == 2
    assert found["versions"]["numpy"] == np.__version__
    assert found["memory_gb"] > 0
    assert found["processor"]
    assert found["rates"] == {"copy": 1.0}


def test_rates_are_measured() -> None:
    rates = machine.rates(choose("cpu")[0], megabytes=16, side=256)
    # From a slow core to the largest server.
    assert 0.05 < rates["copy_gb_per_s"] < 5000
    assert 0.5 < rates["matmul_gflop_per_s"] < 500_000
