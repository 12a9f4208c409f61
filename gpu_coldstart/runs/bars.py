"""The bars of a run on a terminal, and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["Bars", "seconds_left"]


class Bars:
    """The bars of a run and of its running stage; nothing without a terminal."""

    def __init__(self, *, shown: bool):
        self._shown = shown
        self._display: Progress | None = None
        self._tasks: tuple[TaskID, TaskID] | None = None
        self._total = self._left = 0
        self._done: list[float] = []
        self._began = 0.0
        self._share = 0.0

    def expect(self, stages: int) -> None:
        """Announce how many stages are to come."""
        self._total = self._left = stages

    def kept(self) -> None:
        """Count a stage that need not run."""
        self._left -= 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show the bars while a stage runs."""
        self._began, self._share = time.perf_counter(), 0.0
        if self._shown:
            self._display = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._tasks = (
                self._display.add_task(name, total=None, words=""),
                self._display.add_task("all stages", total=self._total, words=""),
            )
            self._refresh()
            self._display.start()
        try:
            yield
        finally:
            self.stop()
        self._left -= 1
        self._done.append(time.perf_counter() - self._began)

    def step(self, done: int, total: int, words: str) -> None:
        """Move the running stage's bar."""
        self._share = done / total if total else 0.0
        if self._display is not None and self._tasks is not None:
            self._display.update(self._tasks[0], completed=done, total=total, words=words)
            self._refresh()

    def stop(self) -> None:
        """Remove the bars."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bars away while lines are printed, perhaps to another stream."""
        if self._display is None:
            yield
            return
        self._display.stop()
        try:
            yield
        finally:
            self._display.start()

    def _refresh(self) -> None:
        assert self._display is not None
        assert self._tasks is not None
        finished = self._total - self._left + self._share
        left = seconds_left(self._done, time.perf_counter() - self._began, self._share, self._left)
        words = "" if left is None else f"about {timedelta(seconds=round(left))} left"
        self._display.update(self._tasks[1], completed=finished, words=words)


def seconds_left(done: list[float], elapsed: float, share: float, left: int) -> float | None:
    """An estimate of the time left, from the stages so far; None until one is possible.

    Parameters
    ----------
    done : list of float
        Seconds of each finished stage of this run.
    elapsed, share : float
        Seconds in the running stage, and how much of it is done (0 to 1).
    left : int
        Stages not finished, the running one included.

    Examples
    --------
    >>> seconds_left([10.0, 30.0], elapsed=5.0, share=0.25, left=3)
    55.0
    """
    finished = len(done) + share
    if not finished:
        return None
    return (sum(done) + elapsed) / finished * (left - share)
