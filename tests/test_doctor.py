"""``gpu-coldstart doctor`` says what is here."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest
import torch

from gpu_coldstart.cli.doctor import _EXTRAS
from tests.rehearsal.install import rehearsed
from tests.test_cli import calling


def told() -> list[str]:
    result = calling("doctor")
    assert (result.status, result.err) == (0, "")
    return [" ".join(line.split()) for line in result.out.splitlines()]


def test_what_is_complete_and_what_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines = told()
    assert "cpu can run" in lines
    assert any(line.startswith("cuda cannot run: PyTorch finds no CUDA device") for line in lines)
    assert "test complete: the tests" in lines


def test_a_card() -> None:
    with rehearsed():
        lines = told()
    assert any(line.startswith("cuda rehearsed card, compute capability") for line in lines)


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name in ("fastapi", "uvicorn"):
            raise importlib.metadata.PackageNotFoundError
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    lines = told()
    place = lines.index("serve lacks fastapi, uvicorn")
    assert lines[place + 1].endswith("pip install 'gpu-coldstart[serve]'")


def test_without_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> Any:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", nothing)
    assert any("pip install ." in line for line in told())


def test_every_extra_is_told_of() -> None:
    extras = importlib.metadata.metadata("gpu-coldstart").get_all("Provides-Extra") or []
    ours = {extra for extra in extras if not extra.startswith("cuda")} - {"fit"}
    assert set(_EXTRAS) == ours
