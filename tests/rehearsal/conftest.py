"""A rehearsal for each test that asks for one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rehearsal.install import Stage, rehearsed


@pytest.fixture
def stage() -> Iterator[Stage]:
    with rehearsed(launch_shape=None) as found:
        yield found


@pytest.fixture
def cp(stage: Stage) -> Any:
    return importlib.import_module("cupy")
