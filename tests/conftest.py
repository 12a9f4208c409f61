"""The engine under test, which tests need a GPU, and how hypothesis looks for counterexamples."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before a library reads it: at this size threads only wait for each other, all the more so where
# several processes test at once. What depends on their number asks for more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

from gpu_coldstart.engine import Engine, choose
from tests.kernels.build import folder
from tests.rehearsal.install import rehearsed
from tests.rehearsal.record import Call, Stage

folder()  # of the first process, before it starts others

_calls: set[Call] = set()
"""Made by all rehearsals of the session."""

settings.register_profile(
    "tests",
    deadline=None,
    max_examples=30,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


ENGINES = ["cpu", "rehearsal", pytest.param("cuda", marks=pytest.mark.gpu)]
OLD_CARD = ["old-rehearsal", pytest.param("old-cuda", marks=pytest.mark.gpu)]
"""The same without RAPIDS and faiss-gpu, for tests of what it then does in its own way."""

_CARDS: dict[str, dict[str, Any]] = {
    "rehearsal": {"launch_shape": None},
    "old-rehearsal": {"launch_shape": None, "compute_capability": "61", "rapids": False},
}
"""What a rehearsal of each pretends."""


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn.

    ``rehearsal`` is the CUDA engine's own code on stand-ins for its libraries (see
    ``tests/rehearsal``); ``cuda`` is the engine itself, where there is a GPU.
    """
    if request.param == "cpu":
        return choose("cpu")[0]
    if request.param in _CARDS:
        with rehearsed(**_CARDS[request.param]):
            return choose("cuda")[0]
    card: Engine = request.getfixturevalue("card")
    if request.param == "old-cuda":
        old: Engine = importlib.import_module("gpu_coldstart.engine.cuda.engine").PascalEngine()
        return old
    return card


@pytest.fixture(scope="session")
def card() -> Engine:
    """The CUDA engine on a real card."""
    if not torch.cuda.is_available():
        # Only asked for by `-m gpu`, and most machines have none: there is nothing to test.
        pytest.skip("there is no NVIDIA GPU here")
    # With a GPU, an engine that cannot be made is a failure: skipped tests would look like passed.
    return choose("cuda")[0]


@pytest.fixture(scope="session", autouse=True)
def _no_disk() -> Iterator[None]:
    """Nobody pulls the plug here, so nothing need be on the disk (it is most of a run's time)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def stand_ins(request: pytest.FixtureRequest) -> Iterator[Stage | None]:
    """The stage of a rehearsal, for tests of the rehearsed engine."""
    call = getattr(request.node, "callspec", None)
    pretended = None if call is None else _CARDS.get(call.params.get("engine"))
    if pretended is None:
        yield None
        return
    with rehearsed(**pretended) as stage:
        yield stage
    _calls.update(stage.calls)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, as some tests wait for processes and services."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_finish() -> None:
    """What is imported and collected stays: the garbage collector need not look at it again."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write the calls that rehearsals made, for ``make check-cuda-api``."""
    parser.addoption("--cuda-calls", type=Path, metavar="FILE.json")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write them."""
    path = session.config.getoption("--cuda-calls")
    if path is not None:
        Stage(calls=_calls).write_calls(path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need a GPU or Spark unless ``-m`` speaks of them."""
    asked = config.option.markexpr or ""
    apart = [marker for marker in ("gpu", "spark", "cluster") if marker not in asked]
    kept, left = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        (left if any(map(item.get_closest_marker, apart)) else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept
