"""How many requests a second the service answers, and how fast, as JSON.

``python bench/load.py --bundle DIR`` serves a saved model on loopback in a process of its own, and
asks for the synthetic world's new users, each with the events of the first day. Requests leave at
their appointed times whether or not earlier ones were answered, and are timed from then, so that a
service which stands still for a second pays for all that should have been asked in it. Then it is
asked three times as much, and at last as many questions as ``--long`` says, one for each strategy
after the other, for its memory. It ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.readings import environment
from bench.serving import newcomers

_MOST_S = 900
_LIBRARIES = (
    "fastapi",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "pydantic",
    "scipy",
    "uvicorn",
    "uvloop",
)
_AT_ONCE = 2000  # requests on the way; more are not sent, and counted


@dataclass
class Tally:
    """What came of some requests.

    Attributes
    ----------
    ms : list of float
        From the appointed time to the answer, of those answered with 200.
    refused_ms : list of float
        The same, of those answered with 503.
    statuses : Counter
        By status; 0 for a connection that broke, -1 for what was not sent.
    seconds : float
    """

    ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        times = {"answered_ms": self.ms, "refused_ms": self.refused_ms}
        return {
            "answered_per_s": round(self.statuses[200] / self.seconds, 1),
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            **{
                name: {f"p{at}": round(float(np.percentile(each, at)), 2) for at in (50, 95, 99)}
                for name, each in times.items()
                if each
            },
        }


class Client:
    """Asks over connections that stay open, each with one request on the way."""

    def __init__(self, port: int):
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.on_the_way = 0

    async def ask(self, request: bytes, due: float, tally: Tally) -> None:
        """Send a request and note how it went."""
        self.on_the_way += 1
        try:
            reader, writer = self._idle.pop() if self._idle else await self._connect()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            status = int(head[9:12])
            self._idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        finally:
            self.on_the_way -= 1
        tally.statuses[status] += 1
        took = 1000 * (time.perf_counter() - due)
        if status == 200:
            tally.ms.append(took)
        elif status == 503:
            tally.refused_ms.append(took)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def one_by_one(self, requests: Sequence[bytes], n: int) -> Tally:
        """Each request after the answer to the one before."""
        tally, begun = Tally(), time.perf_counter()
        for number in range(n):
            await self.ask(requests[number % len(requests)], time.perf_counter(), tally)
        tally.seconds = time.perf_counter() - begun
        return tally

    async def steadily(self, requests: Sequence[bytes], rate: float, seconds: float) -> Tally:
        """So many requests a second, at even distances."""
        tally, begun, tasks = Tally(), time.perf_counter(), set[asyncio.Task[None]]()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % 8 == 0:
                await asyncio.sleep(0)
            if self.on_the_way >= _AT_ONCE:
                tally.statuses[-1] += 1
                continue
            task = asyncio.create_task(self.ask(requests[number % len(requests)], due, tally))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.wait(tasks)
        tally.seconds = time.perf_counter() - begun
        return tally

    async def all_at_once(self, requests: Sequence[bytes], n: int, width: int) -> Tally:
        """``n`` requests as fast as ``width`` connections take them."""
        tally, begun, numbers = Tally(), time.perf_counter(), iter(range(n))

        async def lane() -> None:
            for number in numbers:
                await self.ask(requests[number % len(requests)], time.perf_counter(), tally)

        await asyncio.gather(*(lane() for _ in range(width)))
        tally.seconds = time.perf_counter() - begun
        return tally


def requests_of(preset: str, strategy: str) -> list[bytes]:
    """A request for each new user of the synthetic world."""
    made = []
    for user, day in zip(*newcomers(preset), strict=True):
        (row,) = user.to_pylist()
        events = [
            {
                "action": event["action"],
                "entity": event["entity"],
                "id": event["entity_id"],
                "count": event["count"],
            }
            for event in day.to_pylist()
        ]
        question = {"country": row["country"], "age": row["age"], "events": events}
        body = json.dumps(question | {"strategy": strategy}).encode()
        head = (
            "POST /v1/recommendations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def memory_mb(process: subprocess.Popen[str]) -> float:
    """Memory that a process has in use."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return round(int(found[1]) / 1024, 1) if found else 0.0


async def measure(
    port: int, process: subprocess.Popen[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Everything, phase after phase."""
    client, answer = Client(port), dict[str, Any]()
    rates = dict(each.split("=") for each in options.rates)
    asked = {strategy: requests_of(options.preset, strategy) for strategy in rates}
    for strategy, rate in rates.items():
        requests = asked[strategy]
        await client.one_by_one(requests, 50)  # warms up
        answer[strategy] = {
            "alone": (await client.one_by_one(requests, 500)).told(),
            "at_rate": {
                "asked_per_s": float(rate),
                **(await client.steadily(requests, float(rate), options.seconds)).told(),
            },
            "at_three_times": (
                await client.steadily(requests, 3 * float(rate), options.seconds)
            ).told(),
        }
    before, n = memory_mb(process), options.long // len(asked)
    tallies = [await client.all_at_once(requests, n, 16) for requests in asked.values()]
    answer["long"] = {
        "memory_mb": [before, memory_mb(process)],
        **{name: tally.told() for name, tally in zip(asked, tallies, strict=True)},
    }
    return answer


def machine(found: dict[str, Any]) -> dict[str, Any]:
    """Processor and versions, besides what is known already."""
    from bench.machine import processor  # loads PyTorch, which is best done when all is measured

    return found | {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def main() -> None:
    """Serve, ask, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bundle", type=Path, required=True, help="a model of the preset's world")
    parser.add_argument("--preset", default="small", choices=("tiny", "small", "paper"))
    parser.add_argument("--rates", nargs="+", default=["semi=600", "best=300"])
    parser.add_argument("--seconds", type=float, default=20, help="of each phase")
    parser.add_argument("--long", type=int, default=200_000, help="requests of the last phase")
    parser.add_argument("--serve", nargs="*", default=[], help="options of gpu-coldstart serve")
    options = parser.parse_args()
    here = environment("0")
    del here["packages"]
    words = [sys.executable, "-m", "gpu_coldstart.cli.main", "serve", str(options.bundle)]
    extra = [word for each in options.serve for word in each.split()]
    with subprocess.Popen(
        [*words, "--port", "0", *extra], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            told: list[str] = []
            while not (told and (found := re.search(r"on http://127\.0\.0\.1:(\d+)", told[-1]))):
                told.append(process.stdout.readline())
                if not told[-1]:
                    sys.exit("".join(told))
            work = measure(int(found[1]), process, options)
            answer = asyncio.run(asyncio.wait_for(work, _MOST_S))
        finally:
            process.terminate()
    sys.stdout.write(json.dumps({"machine": machine(here), **answer}, indent=1) + "\n")


if __name__ == "__main__":
    main()
