"""A space learned by a process of its own, on another GPU, while this process learns the others.

The other process writes the files of its stages into the same run directory and says so here. The
manifest, and all that is printed, stay this one's, so a stage counts only once it is whole.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import TypeAlias

from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.progress import StageTime

__all__ = ["Card", "Done", "Helper", "Message", "Task", "helping"]

_MODULE = "gpu_coldstart.cli.beside"


@dataclass(frozen=True)
class Card:
    """Another GPU than this process's.

    Attributes
    ----------
    engine : str
    device : int
        Counted from 0 as CUDA does.
    memory_budget : int or None
        Bytes of its memory to stay below; None for nine tenths of what is free.
    """

    engine: str
    device: int
    memory_budget: int | None = None


@dataclass(frozen=True)
class Task:
    """What a process is to do: the stages of one space, with the settings of a run directory."""

    out: Path
    space: str
    card: Card


@dataclass(frozen=True)
class Done:
    """A stage whose files are written: their SHA-256 by name, and what it took."""

    files: dict[str, str]
    time: StageTime


Message: TypeAlias = Done | str | None
"""What such a process says: a stage is done, what stops it as a sentence, or that it is through."""


class Helper:
    """A process at work on a task.

    Parameters
    ----------
    task : Task
    take : callable
        Called in this process with every stage that is done.
    """

    def __init__(self, task: Task, take: Callable[[Done], None]):
        self._task = task
        self._take = take
        self._through = False
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )
        self._connection.send(task)
        theirs.close()

    def poll(self) -> None:
        """Take what is done by now.

        Raises
        ------
        UserError
            What has stopped the process.
        """
        while not self._through and self._connection.poll():
            self._receive()

    def wait(self) -> None:
        """Take everything, as it gets done; raises as :meth:`poll` does."""
        while not self._through:
            self._receive()

    def _receive(self) -> None:
        try:
            message: Message = self._connection.recv()
        except (EOFError, ConnectionError):
            task = self._task
            raise UserError(
                f"the process for {task.space} on GPU {task.card.device} has ended "
                f"({_ended(self._process.wait())}): the same command with --resume goes on"
            ) from None
        if isinstance(message, str):
            raise UserError(message)
        if message is None:
            self._through = True
        else:
            self._take(message)

    def end(self) -> None:
        """End the process at once: its files are written whole or not at all."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


def _ended(status: int) -> str:
    return f"by signal {-status}" if status < 0 else f"with status {status}"


@contextmanager
def helping(tasks: Sequence[Task], take: Callable[[Done], None]) -> Iterator[dict[str, Helper]]:
    """A helper for each task, by space; none is left after the block."""
    helpers: dict[str, Helper] = {}
    try:
        for task in tasks:
            helpers[task.space] = Helper(task, take)
        yield helpers
    finally:
        for helper in helpers.values():
            helper.end()
