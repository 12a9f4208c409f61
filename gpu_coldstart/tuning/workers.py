"""Trials in processes of their own, several at a time; this process alone chooses and notes.

Each is ``python -m gpu_coldstart.cli.trial N``. Over its connection go a :class:`Task`, then the
settings of one trial after another; back come the NDCG after every epoch, each answered by whether
to go on, and in the end the trial's :class:`~gpu_coldstart.tuning.bench.Outcome`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gpu_coldstart.errors import UserError
from gpu_coldstart.tuning.bench import Outcome
from gpu_coldstart.tuning.components import Component

if TYPE_CHECKING:  # the processes do without Optuna
    from gpu_coldstart.tuning.study import Attempt, Study

__all__ = ["Message", "Processor", "Task", "in_processes"]

_MODULE = "gpu_coldstart.cli.trial"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SECONDS = 0.5  # between looks at whether the command is to stop


@dataclass(frozen=True)
class Processor:
    """The engine that every process chooses; see :func:`gpu_coldstart.engine.choose`."""

    engine: str
    memory_budget: int | None = None
    device: int | None = None


@dataclass(frozen=True)
class Task:
    """What a process tries settings of, in a run directory whose shared stages are done."""

    out: Path
    component: Component
    processor: Processor


Message: TypeAlias = tuple[int, float] | Outcome | str
"""An epoch and the NDCG after it; an outcome; or a sentence on what ended the process."""


class _Worker:
    """A process that tries settings."""

    def __init__(self, task: Task, threads: int):
        self._task, self._threads = task, threads
        self.attempt: Attempt | None = None
        self.start()

    def start(self) -> None:
        self.connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
            env=os.environ | dict.fromkeys(_THREADS, str(self._threads)),
        )
        theirs.close()
        self.tell(self._task)

    def begin(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.tell(attempt.settings)

    def tell(self, message: object) -> None:
        """Send something; that the process has ended shows where it is heard."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def end(self) -> int:
        self._process.kill()
        status = self._process.wait()
        self.connection.close()
        return status


@contextmanager
def _working(task: Task, jobs: int, threads: int) -> Iterator[list[_Worker]]:
    """Processes at work on a task; none is left after the block."""
    workers: list[_Worker] = []
    try:
        for _ in range(jobs):
            workers.append(_Worker(task, threads))
        yield workers
    finally:
        for worker in workers:
            worker.end()


def in_processes(
    study: Study,
    task: Task,
    *,
    jobs: int,
    threads: int,
    more: Callable[[], int],
    noted: Callable[[Attempt, Outcome], None],
    check: Callable[[], None],
) -> None:
    """Try settings in several processes until there are enough.

    Parameters
    ----------
    study : Study
    task : Task
    jobs : int
        Processes.
    threads : int
        Of each.
    more : callable
        Up to how many trials there are to be; asked before each one.
    noted : callable
        Called with every trial and its outcome.
    check : callable
        Raises if the command is to stop; called about every second.

    Raises
    ------
    UserError
        What stops a process, in its words. What is done by then stays.
    """
    with _working(task, jobs, threads) as workers:
        try:
            while _begun(study, workers, more):
                check()
                busy = {worker.connection: worker for worker in workers if worker.attempt}
                for ready in wait(list(busy), _SECONDS):
                    assert isinstance(ready, Connection)
                    _hear(study, busy[ready], noted)
        finally:
            for worker in workers:
                if worker.attempt is not None:
                    study.give_up(worker.attempt)


def _begun(study: Study, workers: list[_Worker], more: Callable[[], int]) -> bool:
    """Give every idle process something to do; whether any has."""
    for worker in workers:
        if worker.attempt is None and (attempt := study.ask(more())) is not None:
            worker.begin(attempt)
    return any(worker.attempt for worker in workers)


def _hear(study: Study, worker: _Worker, noted: Callable[[Attempt, Outcome], None]) -> None:
    """Take what a process has to say."""
    attempt = worker.attempt
    assert attempt is not None
    try:
        message: Message = worker.connection.recv()
    except (EOFError, ConnectionError):
        # Of too little memory, most likely; the same settings would end the next one, too.
        outcome = Outcome(note=f"its process has ended, with status {worker.end()}")
        worker.attempt = None
        noted(attempt, outcome)
        worker.start()
        return
    if isinstance(message, str):
        raise UserError(message)
    if isinstance(message, Outcome):
        worker.attempt = None
        noted(attempt, message)
    else:
        worker.tell(study.goes_on(attempt, *message))
