"""What ``gpu-coldstart serve`` refuses, each time in one sentence."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_coldstart.cli.main import main
from gpu_coldstart.errors import UserError
from gpu_coldstart.service.settings import Settings
from tests.service.helpers import NOWHERE


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["serve", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "port is 70000: give 0 to 65535"),
        (["--port", "x"], "x is not a whole number"),
        (["--batch", "0"], "batch is 0: give 1 to 10000"),
        (["--batch", "100", "--queue", "99"], "batch is 100, more than the queue of 99"),
        (["--deadline", "0"], "deadline is 0"),
        (["--max-events", "100001"], "max-events is 100001"),
        (["--tls-cert", "c.pem"], "TLS needs both"),
        (["--keys", "/nonexistent/keys"], "/nonexistent/keys: No such file"),
        (["--deadlin", "1"], "did you mean --deadline?"),
        ([], "/nonexistent holds no bundle"),
    ],
)
def test_mistakes(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(capsys, str(NOWHERE), *options)


def test_a_bundle_that_is_damaged(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "bundle"
    place.mkdir()
    (place / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes())
    assert str(place) in refused(capsys, str(place))


def test_an_address_that_cannot_be_had(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = refused(capsys, str(bundle), "--port", port)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in told
    assert "choose another --host or --port" in refused(capsys, str(bundle), "--host", "no host")


def test_a_certificate_that_is_none(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("no certificate")
    options = ("--port", "0", "--tls-cert", str(file), "--tls-key", str(file))
    assert f"{file} and {file} are no certificate" in refused(capsys, str(bundle), *options)


def test_a_store_that_is_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPU_COLDSTART_STORE", "mysql://secret@host")
    assert "secret" not in (told := refused(capsys, str(bundle), "--port", "0"))
    assert "store" in told


def test_the_documentation_has_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) > 15
    page = (Path(__file__).parents[2] / "docs/service.md").read_text("utf-8")
    table = page.split("## Options")[1].split("## ")[0]
    assert options == set(re.findall(r"`(--[a-z-]+)`", table.split("**Batches")[0]))


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client"])
def test_what_is_not_installed_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("gpu_coldstart.service")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    told = refused(capsys, str(NOWHERE))
    assert f"this needs {missing}" in told
    assert "pip install 'gpu-coldstart[serve]'" in told


@pytest.mark.parametrize(
    "options",
    [
        {"ttl_s": 0.0},
        {"threads": 0},
        {"max_body": 1},
        {"grace_s": -1.0},
        {"deadline_s": float("nan")},
    ],
)
def test_settings_are_checked_from_python_too(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Settings(NOWHERE, **options)
