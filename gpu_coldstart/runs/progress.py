"""What a run says while it works: a line for each stage, a bar on a terminal, a log file."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gpu_coldstart import profiling
from gpu_coldstart.engine import Engine

__all__ = ["Reporter", "StageTime"]


@dataclass(frozen=True)
class StageTime:
    """How long a stage took, and the most memory held meanwhile (MB): the process's, the GPU's."""

    name: str
    seconds: float
    peak_rss_mb: float
    peak_gpu_mb: float = 0.0


class Reporter:
    """Prints and logs stages.

    Parameters
    ----------
    engine : Engine or None
        Whose memory is looked at beside the process's.
    quiet : bool
        Print nothing; the log is still written.
    """

    def __init__(self, engine: Engine | None = None, *, quiet: bool = False):
        self._engine = engine
        self._quiet = quiet
        self._log: Path | None = None
        self._early: list[str] = []
        self._bar: Any = None
        self._numbers = (0, 0)
        self.times: list[StageTime] = []

    def log_to(self, path: Path) -> None:
        """Append everything said, from the beginning, to a file."""
        self._log = path
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.writelines(self._early)
        self._early = []

    def say(self, text: str) -> None:
        """Print a line and log it."""
        if not self._quiet:
            encoding = sys.stdout.encoding or "utf-8"  # ascii has no ±
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            sys.stdout.flush()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        lines = [f"{stamp} {line}\n" for line in text.splitlines()]
        if self._log is None:
            self._early += lines
        else:
            with self._log.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(lines)

    def expect(self, stages: int) -> None:
        """Announce how many stages are to come."""
        self._numbers = (0, stages)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, with a bar while it runs where there is a terminal."""
        self._numbers = (self._numbers[0] + 1, self._numbers[1])
        _forget_peak()
        if self._engine is not None:
            self._engine.peak_mb()
        start = time.perf_counter()
        self._bar = tqdm(
            total=1, desc=name, leave=False, disable=True if self._quiet else None, file=sys.stderr
        )
        try:
            with profiling.stage(name):
                yield
        finally:
            self._bar.close()
            self._bar = None
        seconds = time.perf_counter() - start
        gpu = 0.0 if self._engine is None else self._engine.peak_mb()
        self.times.append(StageTime(name, round(seconds, 3), round(_peak_mb(), 1), round(gpu, 1)))
        done, total = self._numbers
        self.say(f"[{done:>2}/{total}] {name:<34} {seconds:8.1f} s")

    def kept(self, name: str, earlier: StageTime | None) -> None:
        """Say that a stage is taken over from an interrupted run.

        A kill between the end of a stage and the note of its time leaves no time, which is 0 then.
        """
        self._numbers = (self._numbers[0] + 1, self._numbers[1])
        self.times.append(earlier or StageTime(name, 0.0, 0.0))
        done, total = self._numbers
        self.say(f"[{done:>2}/{total}] {name:<34} kept from before")

    def step(self, done: int, total: int, words: str = "") -> None:
        """Move the bar of the running stage."""
        if self._bar is None:
            return
        self._bar.total = total
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(done - self._bar.n)


def _forget_peak() -> None:
    """Let the kernel count the peak anew, where it offers to (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    """Peak resident memory since :func:`_forget_peak`, or of the whole process elsewhere."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
