"""One finished run and one set of tables for all tests here, and a machine of one thread."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

from gpu_coldstart import ColdStart
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import World
from tests.runs.helpers import WORLD, Result, Tables, command, one_thread, synthetic
from tests.runs.on_tables import EVERY, ran
from tests.runs.served import fitted
from tests.runs.stages import Done, Stopper, stopping


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring at this size, and how sums are cut depends on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> World:
    """The world that ``synthetic()`` asks for."""
    given = {f"world.{name}": value for name, value in WORLD.items()}
    return resolve(preset="tiny", settings=given).world


@pytest.fixture(scope="session")
def tables(world: World) -> Tables:
    """The tables of that world."""
    return generate(world, 0)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run with every strategy in both spaces: only to look at, never to change."""
    out = tmp_path_factory.mktemp("done") / "run"
    result = command(*synthetic(), "--out", out)
    assert result.status == 0, result.err
    return out, result


@pytest.fixture(scope="session")
def plain(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on those tables: only to look at, too."""
    return ran(tables, tmp_path_factory.mktemp("plain"), *EVERY)


@pytest.fixture(scope="session")
def model(tables: Tables) -> ColdStart:
    """A model of every strategy, fitted on those tables."""
    return fitted(tables)


@pytest.fixture(scope="session")
def bundle(model: ColdStart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model, saved: only to look at."""
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    model.save(place)
    return place


@pytest.fixture(scope="session")
def stopper() -> Iterator[Stopper]:
    """Runs the command in another process, on one thread."""
    with stopping(one_thread()) as run:
        yield run


@pytest.fixture
def run(done: Done, tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return Path(shutil.copytree(done[0], tmp_path / "run"))
