"""The engine under test, which tests need a GPU, and how hypothesis looks for counterexamples."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.errors import UserError

settings.register_profile(
    "tests",
    deadline=None,
    max_examples=30,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn; the CUDA one only where it runs."""
    if request.param == "cpu":
        return choose("cpu")[0]
    try:
        return choose("cuda")[0]
    except UserError as error:
        pytest.skip(str(error))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need a GPU unless ``-m`` speaks of them."""
    if "gpu" in (config.option.markexpr or ""):
        return
    kept = [item for item in items if item.get_closest_marker("gpu") is None]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
