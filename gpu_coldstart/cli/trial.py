"""The process that tries settings for ``gpu-coldstart tune --jobs``.

``python -m gpu_coldstart.cli.trial N`` is started by :mod:`gpu_coldstart.tuning.workers` only; N is
the descriptor of the connection to the process that holds the directory.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from gpu_coldstart import engine as engines
from gpu_coldstart.cli.wording import enough_memory, sentence
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.runs import paths
from gpu_coldstart.spaces import silent
from gpu_coldstart.tuning.bench import Bench, saved_in
from gpu_coldstart.tuning.workers import Task

__all__ = ["main"]


def main(connection: Connection) -> None:
    """Try what comes over a connection until it is closed."""
    try:
        _serve(connection)
    except (EOFError, ConnectionError):
        return  # the other process has ended
    except (UserError, OSError) as error:
        connection.send(sentence(error))


def _serve(connection: Connection) -> None:
    task: Task = connection.recv()
    processor = task.processor
    engine, _ = engines.choose(processor.engine, processor.memory_budget, processor.device)

    def heard(epoch: int, ndcg: float) -> bool:
        connection.send((epoch, ndcg))
        return bool(connection.recv())

    with enough_memory(engine):
        config = resolve(files=[task.out / paths.CONFIG])
        dataset = DATASETS.get(config.dataset).open(config)
        saved = saved_in(task.out)
        bench = Bench(engine, config, dataset, task.component, saved=saved, progress=silent)
        while True:
            connection.send(bench.tried(connection.recv(), heard))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
