"""Nothing of a GPU is imported or woken before the CUDA engine is chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runs.helpers import one_thread, synthetic

LIBRARIES = ("cupy", "cupyx", "cudf", "cuml", "rmm", "pylibraft", "nvtx")

SCRIPT = """
import json, sys

asked = set()

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in LIBRARIES:
            asked.add(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Forbidden())
import gpu_coldstart.run, gpu_coldstart.runs.pipeline, torch
assert not torch.cuda.is_initialized()
from gpu_coldstart.engine import choose
assert choose("cpu")[0].name == "cpu"
assert not torch.cuda.is_initialized()
from gpu_coldstart.run import main
status = main(OPTIONS)
assert not torch.cuda.is_initialized()
modules = sorted(name for name in sys.modules if name.startswith("gpu_coldstart.engine.cuda"))
told = {"asked": sorted(asked), "modules": modules, "status": status}
told["compiler"] = "torch._dynamo" in sys.modules
sys.stderr.write(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process was asked to import of the libraries, and when."""
    out = tmp_path_factory.mktemp("import") / "run"
    options = [*synthetic(), "--engine", "cpu", "--out", str(out)]
    settings = f"LIBRARIES = {LIBRARIES!r}\nOPTIONS = {options!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", settings + SCRIPT],
        env=one_thread(),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_the_modules_of_the_cuda_engine_stay_out(told: dict[str, Any]) -> None:
    assert told["modules"] == []


def test_the_cpu_engine_runs_without_any_of_them(told: dict[str, Any]) -> None:
    assert told["status"] == 0


def test_training_leaves_the_compiler_of_pytorch_out(told: dict[str, Any]) -> None:
    """Which takes seconds to import."""
    assert told["compiler"] is False


def test_a_run_on_the_cpu_asks_for_none_of_them(told: dict[str, Any]) -> None:
    """But for nvtx, which marks a profiler's timeline on any machine that has it."""
    assert set(told["asked"]) <= {"nvtx"}


LIGHT = """
import sys
import gpu_coldstart.engine
import gpu_coldstart.engine.base
heavy = {"torch", "scipy", "numba", "faiss", "pyarrow", "sklearn"} & sys.modules.keys()
assert not heavy, heavy
import numpy as np
engine = gpu_coldstart.engine.choose("cpu")[0]
points = np.arange(12, dtype=np.float32).reshape(4, 3)
matrix = engine.csr(np.arange(4), np.arange(4), np.ones(4), (4, 4))
engine.pool(engine.take_rows(matrix, np.array([1, 2])), points)
engine.nearest(points, points, 2)
engine.top_k(points, points, 2)
segments, weights = np.array([[0, 1]], np.int32), np.array([[0.5, 0.5]], np.float32)
tracks, scores = engine.soft_allocate(segments, weights, matrix, 2, 0)
engine.drop_seen(tracks, scores, engine.take_rows(matrix, np.array([3])), 1)
heavy = {"numba", "matplotlib", "scipy.stats", "sklearn"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_the_engine_is_light_to_import_and_serving_needs_no_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        env=one_thread(),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
