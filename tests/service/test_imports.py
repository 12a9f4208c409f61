"""What serves knows of the rest only the model's contract."""

from __future__ import annotations

from pathlib import Path

import gpu_coldstart
from tests.test_layers import imported

ALLOWED = (
    "gpu_coldstart.__version__",
    "gpu_coldstart.errors",
    "gpu_coldstart.regular",
    "gpu_coldstart.service",
    "gpu_coldstart.serving.recommender",
)
HEAVY = ("torch", "numba", "faiss", "pyarrow", "scipy")


def test_the_service_knows_the_contract_and_nothing_of_the_training() -> None:
    files = sorted((Path(gpu_coldstart.__file__).parent / "service").rglob("*.py"))
    names = {name for file in files for name in imported(file.read_text("utf-8"))}
    own = {name for name in names if name.startswith("gpu_coldstart")}
    assert "gpu_coldstart.serving.recommender.Recommender" in own
    assert {name for name in own if not name.startswith(ALLOWED)} == set()
    assert {name for name in names if name.startswith(HEAVY)} == set()
