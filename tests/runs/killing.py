"""Run the command in forks of one process and stop it at a chosen moment of a chosen stage.

Run as a module it reads a job a line from its input, ``{"arguments", "stage", "moment", "how"}``
in JSON, and answers each with the exit status, negative for a signal, and what went to stderr.
Everything is imported once and computed only in the forks, so a fork costs next to nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
from typing import Any

import numba

from gpu_coldstart.run import main
from gpu_coldstart.runs.checkpoint import FileCheckpoint
from gpu_coldstart.runs.store import Files, RunDirectory

EPOCH = "epoch"
"""Not a moment of writing: after the first epoch of a network's training was saved."""

TIMING = "timing"
"""Not a moment of the stage, either: amid the times, which are written after it."""

MOMENTS = ("before", "half", "unlisted", "listing", "after")
"""Before a stage's files are written, amid the first, after the last but before the manifest, amid
the manifest, and when all is written."""


_LATE = (
    *("gpu_coldstart.cli.run", "gpu_coldstart.runs.pipeline", "gpu_coldstart.reporting.write"),
    *("gpu_coldstart.datasets.synthetic.generate", "gpu_coldstart.datasets.events"),
    *("gpu_coldstart.engine.cpu.engine", "gpu_coldstart.engine.cpu.products", "faiss"),
    *("gpu_coldstart.engine.cpu.kmeans", "gpu_coldstart.engine.cpu.als", "gpu_coldstart.cli.app"),
    "pandas",  # which pyarrow imports where it is installed
)


def import_all() -> None:
    """Import now what would be imported on first use, in every fork anew."""
    for name in _LATE:
        importlib.import_module(name)
    numba.njit(lambda: 0)()  # sets the compiler up


class _Stop:
    """Stops this process when the moment has come."""

    def __init__(self, stage: str, moment: str, how: str):
        self._stage, self._moment = stage, moment
        self._signal = signal.Signals[how]
        self._inside = self._listing = False
        self._written: set[str] = set()
        self._write = RunDirectory.write
        self._save = RunDirectory._save_manifest

    def install(self) -> None:
        changed: Any = RunDirectory
        changed.write = lambda place, name, files: self.write(place, name, files)
        changed._save_manifest = lambda place, stale=None: self.save(place, stale)
        system: Any = os
        system.fsync = self.fsync
        checkpoints: Any = FileCheckpoint
        save = FileCheckpoint.save

        def saved(place: FileCheckpoint, state: Any) -> None:
            save(place, state)
            if self._moment == EPOCH and self._stage in str(place.path):
                os.kill(os.getpid(), self._signal)

        checkpoints.save = saved
        checkpoints.SECONDS = 0.0

    def now(self, moment: str) -> None:
        if self._inside and moment == self._moment:
            os.kill(os.getpid(), self._signal)

    def write(self, place: RunDirectory, name: str, files: Files) -> None:
        place.begin()
        self._inside = self._inside or name == self._stage
        self.now("before")
        self._write(place, name, files)
        self._written.add(name)
        self.now("after")
        self._inside = self._inside and name != self._stage

    def save(self, place: RunDirectory, stale: set[str] | None = None) -> None:
        self.now("unlisted")
        self._listing = True
        self._save(place, stale)
        self._listing = False

    def fsync(self, handle: int) -> None:
        self.now("half")
        if self._listing:
            self.now("listing")
        if self._moment == TIMING and self._stage in self._written and "times" in _name(handle):
            os.kill(os.getpid(), self._signal)


def _name(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}").rpartition("/")[2]


def attempt(job: dict[str, Any]) -> tuple[int, str]:
    """Run the command in a fork."""
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(told.fileno(), 2)
            _Stop(job["stage"], job["moment"], job["how"]).install()
            status = 70
            try:
                status = main(job["arguments"])
            except BaseException as error:
                sys.stderr.write(f"Traceback: {error!r}")
            sys.stderr.flush()
            os._exit(status)
        _, code = os.waitpid(child, 0)
        told.seek(0)
        return os.waitstatus_to_exitcode(code), told.read()


if __name__ == "__main__":
    # A shell that starts the tests in the background has interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import_all()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(attempt(json.loads(line))) + "\n")
        sys.stdout.flush()
