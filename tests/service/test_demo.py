"""The demonstration, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.runs.helpers import finished, refused
from tests.service.browser import TAB, browser
from tests.test_cli import calling

DEMO = [sys.executable, "-m", "gpu_coldstart.cli.main", "demo", "--preset", "tiny"]


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A demonstration that keeps its temporary files in a folder, and minds Ctrl-C."""
    process = subprocess.Popen(
        [*DEMO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The next line of output with some words in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def test_it_shows_a_page_answers_and_ends_cleanly(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as process:
        line_with(process, "560 users and 600 tracks")
        found = re.search(r"http://127\.0\.0\.1:\d+/", line_with(process, "the page is at"))
        assert found
        with httpx.Client(base_url=found[0]) as client:
            page = client.get("/")
            assert "<title>Day one</title>" in page.text
            zoe = {"country": "FR", "age": 31, "k": 5, "explain": True}
            answer = client.post("/v1/recommendations", json=zoe).json()
        assert len(answer["tracks"]) == 5
        assert all(track["title"] and track["artist_name"] for track in answer["tracks"])
        assert answer["reasons"]["parts"]
        process.send_signal(signal.SIGINT)
        with finished(process) as result:
            assert (result.status, result.err) == (0, "")
    assert not list(tmp_path.glob("gpu-coldstart*"))


def test_a_newcomer_is_followed(tmp_path: Path) -> None:
    songs = "[...document.querySelectorAll('#tracks strong')].map((each) => each.innerText)"
    with browser() as page, demo(tmp_path, "--port", "0") as process:
        found = re.search(r"http://127\.0\.0\.1:\d+/", line_with(process, "the page is at"))
        assert found
        page.open(found[0])
        page.wait("document.querySelectorAll('#tracks li').length === 20")
        page.wait("document.querySelectorAll('#artists li').length === 10")
        lists = [page.run(f"return {songs}")]

        def followed() -> None:
            """Wait for another list."""
            before = json.dumps(lists[-1], separators=(",", ":"))
            page.wait(f"JSON.stringify({songs}) !== {before!r}")
            lists.append(page.run(f"return {songs}"))

        page.click("#age")
        page.press("67" + TAB)
        followed()
        page.press("Germ" + TAB)
        followed()
        assert "Like listeners from" in page.text("#segment")
        artist = page.texts("#artists button")[7]
        page.press(artist.lower())
        page.wait(f"document.querySelector('#artists button').innerText === {artist!r}")
        page.click("#artists button")
        followed()
        page.click("#tracks li:nth-child(3) .stream")
        followed()
        played = page.texts("#events li span")[0].removeprefix("Played ")
        assert played == lists[-2][2]
        assert played not in lists[-1]
        assert "your streamed artists" in page.text("#reasons")
        assert page.text("#notes") == page.text("#error") == ""
        assert page.complaints() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_while_it_learns(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path, "--port", "0") as process:
        line_with(process, "learning")
        process.send_signal(number)
        with finished(process) as result:
            assert result.status == 128 + number
            assert result.err in ("interrupted\n", "terminated\n")
    assert not list(tmp_path.glob("gpu-coldstart*"))


def test_a_port_that_is_taken_is_refused_before_it_learns() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = calling("demo", "--port", port)
    refused(result, f"port {port}", "choose another --port")
    assert not result.out
