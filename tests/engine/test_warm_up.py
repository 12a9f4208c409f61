"""``gpu-coldstart warm-up``: what it compiles for a GPU; see ``make wheel-test`` for the CPU."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart.cli.main import main
from gpu_coldstart.engine import choose, signatures
from tests.rehearsal.install import Stage, rehearsed


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: Stage) -> Any:
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    return choose("cuda")[0]


@pytest.fixture
def stage() -> Any:
    with rehearsed() as found:
        found.cards = ("little card", "big card")
        yield found


def test_every_kernel_is_compiled_for_the_card_in_use(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A new thread begins with the first card, whatever its parent has chosen."""
    from tests.rehearsal.cupy_cuda import RawModule

    on: list[int] = []
    get = RawModule.get_function

    def noting(module: RawModule, name: str) -> Any:
        on.append(importlib.import_module("cupy").cuda.runtime.getDevice())
        return get(module, name)

    monkeypatch.setattr(RawModule, "get_function", noting)
    choose("cuda", device=1)
    lines = list(engine.compile())
    wanted = [
        " ".join([f"{file}.cu", *(f"{name}={value}" for name, value in macros.items())])
        for file in signatures.files()
        for macros in signatures.variants(signatures.source(file))
    ]
    assert sorted(lines) == sorted(wanted)
    assert set(on) == {1}
    assert engine.caches() == (tmp_path,)
    compiled = len(on)
    assert sorted(engine.compile()) == sorted(wanted)
    assert len(on) == compiled, "what is compiled is compiled again"


@pytest.mark.parametrize("capability", ["61", "90"])
def test_the_command_on_a_card(
    capability: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without its small run, which other tests rehearse."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUPY_CACHE_DIR", "cache")
    monkeypatch.setattr("gpu_coldstart.runs.pipeline.Pipeline.run", lambda pipeline: None)
    monkeypatch.setenv("CUPY_NVRTC_USE_PCH", "0")
    monkeypatch.delenv("CUPY_NVRTC_USE_PCH")  # and so restored afterwards
    with rehearsed(capability, rapids=capability != "61"):
        assert main(["warm-up", "--engine", "cuda"]) == 0
    assert os.environ["CUPY_NVRTC_USE_PCH"] == "1"
    assert Path.cwd() == tmp_path
    out = capsys.readouterr().out
    assert out.count("compiled: pool.cu PER_LANE=") == 3
    assert "compiled: the search by distances" not in out  # a loop of the CPU engine
    assert f"compiled code is kept in {tmp_path / 'cache'}" in out.splitlines()
