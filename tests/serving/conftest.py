"""A finished run on a tiny world, and what it is exported to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpu_coldstart import ColdStart
from tests.runs.conftest import _one_thread, plain, tables, world

__all__ = ["_one_thread", "exported", "plain", "run", "tables", "world"]


@pytest.fixture(scope="session")
def exported(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the run's TT-SVD space: only to look at."""
    place = tmp_path_factory.mktemp("exported") / "bundle"
    ColdStart.from_run(plain, space="tt-svd", engine="cpu").save(place)
    return place


@pytest.fixture
def run(plain: Path, tmp_path: Path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(plain, tmp_path / "run"))
