"""What a run says while it works: a line for each stage, bars on a terminal, a log file."""

from __future__ import annotations

import logging
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from gpu_coldstart import profiling
from gpu_coldstart.engine import Engine
from gpu_coldstart.runs.bars import Bars
from gpu_coldstart.runs.environment import versions
from gpu_coldstart.runs.names import printable
from gpu_coldstart.runs.tracking import Followed

__all__ = ["Reporter", "StageTime"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageTime:
    """How long a stage took, and the most memory in use meanwhile (MB): the process's, the GPU's.

    ``reserved_gpu_mb`` is what the process held of the GPU at the stage's end, with blocks that
    are free for later stages; it does not shrink by itself.
    """

    name: str
    seconds: float
    peak_rss_mb: float
    peak_gpu_mb: float = 0.0
    reserved_gpu_mb: float = 0.0


class Reporter:
    """Prints and logs stages; as a context manager it gathers all of ``gpu_coldstart``'s logging.

    On a terminal (stderr) two bars stay below the lines: one for the running stage, and one for all
    stages with the time left. The time left is the mean time of the stages done in this run,
    the running one by its own share, times the stages that are left; it assumes that all stages
    take equally long, so it is rough while training or the first stage runs, and absent before
    the first share is known.

    Parameters
    ----------
    engine : Engine or None
        Whose memory is measured besides the process's.
    write : callable or None
        Prints a line; None prints nothing, and the log is still written.
    check : callable
        Raises if the command is to stop; called at every step.
    prefix : str
        Begins every line of the log.

    Attributes
    ----------
    times : list of StageTime
    followed : Followed
        Who else hears of stages; nobody at first.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        write: Callable[[str], None] | None = None,
        check: Callable[[], None] = lambda: None,
        prefix: str = "",
    ):
        self._engine = engine
        self._write = write
        self._check = check
        self._file = _RunLog(prefix)
        self._level = logging.NOTSET
        self._bars = Bars(shown=write is not None and sys.stderr.isatty())
        self._numbers = (0, 0)
        self.followed = Followed()
        self.times: list[StageTime] = []

    def __enter__(self) -> Self:
        logger = logging.getLogger("gpu_coldstart")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()
        if isinstance(error, KeyboardInterrupt):
            _log.warning("%s", error)
        elif error is not None:
            _log.error("%s", error)
        logger = logging.getLogger("gpu_coldstart")
        logger.removeHandler(self._file)
        logger.setLevel(self._level)

    def log_to(self, path: Path) -> None:
        """Append everything said and logged, from the beginning, to a file."""
        self._file.write_to(path)

    def log_environment(self) -> None:
        """Log the machine, the versions of the libraries, the engine and its threads."""
        _log.info("machine: %s", platform.platform())
        _log.info("versions: %s", ", ".join(f"{name} {v}" for name, v in versions().items()))
        if self._engine is not None:
            device = f" on {self._engine.device}" if self._engine.device else ""
            _log.info("engine: %s%s, threads: %d", self._engine.name, device, self._engine.threads)

    def say(self, text: str) -> None:
        """Print a line and log it."""
        if self._write is not None:
            with self._bars.hidden():
                self._write(text)
        for line in text.split("\n"):
            _log.info("%s", line)

    def expect(self, stages: int) -> None:
        """Announce how many stages are to come."""
        self._numbers = (0, stages)
        self._bars.expect(stages)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, with bars while it runs where there is a terminal."""
        self._check()
        self._numbers = (self._numbers[0] + 1, self._numbers[1])
        _forget_peak()
        if self._engine is not None:
            self._engine.peak_mb()
        start = time.perf_counter()
        with self._bars.stage(name), profiling.stage(name):
            yield
        seconds = time.perf_counter() - start
        of_gpu = [0.0, 0.0]
        if self._engine is not None:
            of_gpu = [self._engine.peak_mb(), self._engine.reserved_mb()]
        memory = (round(size, 1) for size in (_peak_mb(), *of_gpu))
        self.times.append(StageTime(name, round(seconds, 3), *memory))
        self.followed.stage(self.times[-1])
        self._say_stage(name, f"{seconds:8.1f} s")

    def kept(self, name: str, earlier: StageTime | None) -> None:
        """Say that a stage is taken over from an interrupted run.

        A kill between the end of a stage and the note of its time leaves no time, which is 0 then.
        """
        self._not_run_here(earlier or StageTime(name, 0.0, 0.0), "kept from before")

    def took(self, time: StageTime) -> None:
        """Say that another process has done a stage."""
        self._not_run_here(time, f"{time.seconds:8.1f} s")
        self.followed.stage(time)

    def _not_run_here(self, time: StageTime, words: str) -> None:
        self._numbers = (self._numbers[0] + 1, self._numbers[1])
        self._bars.kept()
        self.times.append(time)
        self._say_stage(time.name, words)

    def _say_stage(self, name: str, words: str) -> None:
        done, total = self._numbers
        self.say(f"[{done:>2}/{total}] {name:<34} {words}")

    @contextmanager
    def checking(self, check: Callable[[], None]) -> Iterator[None]:
        """Call something else at every step of the block, too; it may raise."""
        before = self._check

        def both() -> None:
            before()
            check()

        self._check = both
        try:
            yield
        finally:
            self._check = before

    def step(self, done: int, total: int, words: str = "") -> None:
        """Move the bar of the running stage.

        Raises
        ------
        Interrupted
            If a signal has come whose exception a library swallowed.
        """
        self._check()
        self._bars.step(done, total, words)


class _RunLog(logging.Handler):
    """Appends records to a file; keeps them until it is known which.

    Unlike the handlers of the standard library it lets errors through: a full disk stops the run.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self._path: Path | None = None
        self._early: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        text = printable(record.getMessage())
        lines = [f"{stamp} {self._prefix}{line}\n" for line in text.splitlines()]
        if self._path is None:
            self._early += lines
        else:
            self._append(lines)

    def write_to(self, path: Path) -> None:
        self._path = path
        self._append(self._early)
        self._early = []

    def _append(self, lines: list[str]) -> None:
        assert self._path is not None
        with self._path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)


def _forget_peak() -> None:
    """Reset the kernel's peak-memory counter, where there is one (Linux)."""
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
