"""The stages of a run with every strategy in both spaces, and whether a run is whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.registry import STRATEGIES as KINDS
from gpu_coldstart.strategies import experts_of
from tests.builtin import SPACES, STRATEGIES
from tests.runs.helpers import Result, manifest

LEARNED = ("space", "segments", "descriptions", "network", "predictions", "predictions.warm")
WAYS = tuple(
    dict.fromkeys(
        part
        for name in STRATEGIES
        for part in (
            *(
                f"{each}.state"
                for each in (*experts_of(name, Config()), name)
                if KINDS.get(each).State is not None
            ),
            name,
        )
    )
)
PARTS = (*LEARNED, *WAYS, "examples", "carousels")
LAST = ("analysis", "results", "report")
STAGES = ("config", "logs", *(f"{a}/{b}" for a in SPACES for b in PARTS), *LAST)
KILLED = -9
"""Exit status of a process that SIGKILL ended."""


def stages_of(*parts: str) -> set[str]:
    return {f"{space}/{part}" for space in SPACES for part in parts}


Stopper = Callable[..., Result]
"""Runs the command in another process, which stops at a moment of a stage if one is given."""

Done = tuple[Path, Result]


def whole(out: Path) -> bool:
    """Whether every file that the manifest names is there as it was written."""
    if not (out / "manifest.json").exists():
        return True
    return all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        for files in manifest(out)["stages"].values()
        for name, digest in files.items()
    )


@contextmanager
def stopping(environment: Mapping[str, str]) -> Iterator[Stopper]:
    """A process that runs the command in forks; see :mod:`tests.runs.killing`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runs.killing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        source, sink = process.stdout, process.stdin

        def run(
            *arguments: object, stage: str = "", moment: str = "", how: str = "SIGKILL"
        ) -> Result:
            words = [str(argument) for argument in arguments]
            job = {"arguments": words, "stage": stage, "moment": moment, "how": how}
            sink.write(json.dumps(job) + "\n")
            sink.flush()
            status, told = json.loads(source.readline())
            return Result(status, "", told)

        yield run
        sink.close()
