"""Who may know whom: what recommends cannot name the truth, what measures knows no files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpu_coldstart

ROOT = Path(gpu_coldstart.__file__).parent
BLIND = ["spaces", "segments.py", "features.py", "models", "strategies"]
"""What learns and recommends; early stopping and tuning are handed targets and a score."""


def modules(part: str) -> list[Path]:
    place = ROOT / part
    return [place] if place.suffix else sorted(place.rglob("*.py"))


def mentions(code: str) -> Iterator[str]:
    """Every way in which code gets at the ground truth: imports, names, attributes."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value.isidentifier() else []  # a quoted annotation
        else:
            continue
        for name in names:
            if "GroundTruth" in name or "data.truth" in name:
                yield name


@pytest.mark.parametrize("part", BLIND)
def test_no_module_that_recommends_names_the_truth(part: str) -> None:
    assert modules(part)
    seen = {path.name: list(mentions(path.read_text("utf-8"))) for path in modules(part)}
    assert {name for name, what in seen.items() if what} == set()


@pytest.mark.parametrize(
    "code",
    [
        "from gpu_coldstart.data.truth import GroundTruth",
        "from gpu_coldstart.data import truth as t; import gpu_coldstart.data.truth",
        "from gpu_coldstart.data import truth",
        "import gpu_coldstart.data.truth",
        "def f(x: 'GroundTruth'): ...",
        "x = data.logs.GroundTruth",
    ],
)
def test_every_way_to_name_it_is_seen(code: str) -> None:
    assert list(mentions(code))


def imported(code: str) -> Iterator[str]:
    """Full names of whatever code imports, at its top or later."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_evaluation_knows_no_files() -> None:
    assert modules("evaluation")
    for path in modules("evaluation"):
        for name in imported(path.read_text("utf-8")):
            assert not name.startswith(("gpu_coldstart.runs", "gpu_coldstart.cli")), path


@pytest.mark.parametrize(
    "code",
    ["from gpu_coldstart.runs import paths", "def f():\n    import gpu_coldstart.runs.paths"],
)
def test_every_import_of_files_is_seen(code: str) -> None:
    assert [name for name in imported(code) if name.startswith("gpu_coldstart.runs")]
