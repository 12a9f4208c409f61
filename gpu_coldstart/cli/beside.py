"""The process that learns one space on a GPU of its own, for a run of several processes.

``python -m gpu_coldstart.cli.beside N`` is started by :mod:`gpu_coldstart.runs.beside` only; N is
the descriptor of the connection to the process that holds the run directory.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from gpu_coldstart import engine as engines
from gpu_coldstart.cli.wording import enough_memory, sentence
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.beside import Message, Task
from gpu_coldstart.runs.pipeline import Pipeline
from gpu_coldstart.runs.progress import Reporter

__all__ = ["main"]


def main(connection: Connection) -> None:
    """Do the task that comes over a connection, and say over it what becomes of it."""
    task: Task = connection.recv()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    message: Message = None
    try:
        _learn(task, connection)
    except (UserError, OSError) as error:
        message = sentence(error)
    connection.send(message)


def _end_with(connection: Connection) -> None:
    """End at once when the process at the other end does, whatever it is that ends it."""
    with suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)


class _Quiet(Reporter):
    """Leaves it to the other process to say what is done."""

    def say(self, text: str) -> None:
        del text


def _learn(task: Task, connection: Connection) -> None:
    card = task.card
    engine, _ = engines.choose(card.engine, card.memory_budget, card.device)
    with enough_memory(engine), _Quiet(engine, prefix=f"{task.space}: ") as reporter:
        config = resolve(files=[task.out / paths.CONFIG])
        dataset = DATASETS.get(config.dataset).open(config)
        Pipeline(engine, config, task.out, reporter, dataset).learn(task.space, connection.send)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
