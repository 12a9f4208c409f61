"""Two bundles of a world small enough for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from tests.runs.helpers import SIZES, WORLD
from tests.service.browser import Browser, browser
from tests.service.shop import Shop, visiting


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs coroutines."""
    return "asyncio"


def _saved(place: Path, seed: int) -> Path:
    parameters: dict[str, Any] = {"preset": "tiny", "strategies": {"names": ["semi", "best"]}}
    for key, value in SIZES.items():
        section, name = key.split(".")
        parameters.setdefault(section, {})[name] = value
    world = resolve(preset="tiny", settings={f"world.{k}": v for k, v in WORLD.items()}).world
    past = Dataset.from_frames(**generate(world, 0))
    ColdStart(space="tt-svd", engine="cpu", seed=seed, **parameters).fit(past).save(place)
    return place


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to look at, never to change."""
    return _saved(tmp_path_factory.mktemp("bundle") / "one", 0)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, of the same world."""
    return _saved(tmp_path_factory.mktemp("bundle") / "other", 1)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser for all tests."""
    with browser() as found:
        yield found


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def page(chromium: Browser, shop: Shop) -> Iterator[Browser]:
    """The page of the shop, with its first list."""
    with visiting(chromium, shop):
        chromium.wait("document.querySelectorAll('#tracks li').length")
        chromium.wait("document.querySelectorAll('#artists li').length")
        yield chromium
