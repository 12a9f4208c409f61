"""The command itself: a process that serves, what signals do to it, and hostile connections."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.runs.helpers import one_thread

JSON = "content-type: application/json\r\n"


class Process:
    """``gpu-coldstart serve`` on a free port, once it is ready.

    Attributes
    ----------
    process : subprocess.Popen
    url : str
    port : int
    """

    def __init__(self, bundle: Path, *options: str, **environment: str):
        command = [sys.executable, "-m", "gpu_coldstart.cli.main", "serve", str(bundle)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            env={**one_thread(), **environment},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.first = self.process.stdout.readline()
        self.url = self.first.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def log(self, words: str) -> str:
        """The next line of the log with some words."""
        while words not in (line := self._lines.get(timeout=30)):
            pass
        return line

    def ended(self) -> int:
        return self.process.wait(30)

    def send(self, text: str) -> bytes:
        """What comes back for some bytes, until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(text.encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))


Serving = Callable[..., Process]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Starts processes, and ends those that are left."""
    started: list[Process] = []

    def start(bundle: Path, *options: str, **environment: str) -> Process:
        started.append(Process(bundle, *options, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_a_service_lives_reloads_and_ends(
    serving: Serving, bundle: Path, other: Path, tmp_path: Path
) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(bundle, place)
    server = serving(place, "--grace", "1", "--deadline", "20000")
    with httpx.Client(base_url=server.url) as web:
        first = web.get("/v1/model").json()["version"]
        assert server.first == f"serving {place} ({first}) on http://127.0.0.1:{server.port}\n"
        answer = web.post("/v1/recommendations", json={"country": "FR", "k": 4})
        assert len(answer.json()["tracks"]) == 4

        shutil.rmtree(place)
        shutil.copytree(other, place)
        server.process.send_signal(signal.SIGHUP)
        server.log("is in service")
        second = web.get("/v1/model").json()
        assert second["version"] != second["previous"] == first

        (place / "bundle.json").write_text("{}")
        server.process.send_signal(signal.SIGHUP)
        assert second["version"] in server.log(" stays: ")
        told = web.get("/v1/model").json()
        assert told["version"] == second["version"]
        assert "bundle.json" in told["problem"]
        assert 'gpu_coldstart_reloads_total{outcome="refused"} 1.0' in web.get("/metrics").text

        server.process.send_signal(signal.SIGTERM)
        while (ready := web.get("/readyz")).status_code == 200:
            time.sleep(0.01)
        assert ready.status_code == 503
        assert web.post("/v1/recommendations", json={"k": 2}).status_code == 200
    assert server.ended() == 0


def test_what_was_asked_before_the_end_is_answered(serving: Serving, bundle: Path) -> None:
    server = serving(bundle, "--grace", "0", "--deadline", "30000", "--batch", "4")
    asked = {"users": [{"k": 5}] * 200}
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/recommendations/batch", json=asked, timeout=30))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    with httpx.Client(base_url=server.url) as web:

        def arrived() -> float:
            names = "gpu_coldstart_queue_depth", "gpu_coldstart_batch_size_sum"
            lines = map(str.split, web.get("/metrics").text.splitlines())
            return sum(float(words[1]) for words in lines if words[0] in names)

        begun = time.monotonic()
        while arrived() < 600:
            assert time.monotonic() - begun < 30
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert [len(answer.json()["answers"]) for answer in answers] == [200] * 3
    assert server.ended() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")


def test_hostile_connections(serving: Serving, bundle: Path) -> None:
    server = serving(bundle, "--body-timeout", "1", "--max-body", "2048", "--keep-alive", "1")
    ask = f"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\n{JSON}"
    begun = time.monotonic()
    assert b" 408 " in server.send(f'{ask}content-length: 10\r\n\r\n{{"k"').splitlines()[0]
    assert time.monotonic() - begun < 10
    assert b" 413 " in server.send(f"{ask}content-length: 99999999999\r\n\r\n").splitlines()[0]
    chunk = f"400\r\n{' ' * 1024}\r\n"
    chunked = f"{ask}transfer-encoding: chunked\r\n\r\n{chunk * 3}"
    assert b" 413 " in server.send(chunked).splitlines()[0]
    assert b" 400 " in server.send("\x00\x01 nonsense\r\n\r\n").splitlines()[0]
    idle = server.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")  # ends with keep-alive
    assert b" 200 " in idle.splitlines()[0]
    begun = time.monotonic()
    assert server.send("GET /healthz HTT") == server.send("") == b""
    assert time.monotonic() - begun < 10
    assert b" 400 " in server.send(f"{ask}{'a: b' * 20_000}\r\n\r\n").splitlines()[0]
    assert b" 400 " in server.send(ask + "a: b\r\n" * 40_000).splitlines()[0]
    assert b" 400 " in server.send(f"GET /{'a' * 70_000} HTTP/1.1\r\n\r\n").splitlines()[0]
    half = socket.create_connection(("127.0.0.1", server.port), 30)
    half.sendall(f"{ask}content-length: 100\r\n\r\n{{".encode())
    half.close()
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    server.process.send_signal(signal.SIGINT)
    assert server.ended() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_and_keys(serving: Serving, bundle: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    server = serving(
        bundle, "--tls-cert", str(cert), "--tls-key", str(key), GPU_COLDSTART_KEYS="k" * 20
    )
    assert server.url.startswith("https://")
    with httpx.Client(base_url=server.url, verify=ssl.create_default_context(cafile=cert)) as web:
        assert web.get("/v1/model").status_code == 401
        known = {"authorization": f"Bearer {'k' * 20}"}
        assert web.get("/v1/model", headers=known).status_code == 200
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.ended() == 0
