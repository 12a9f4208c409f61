"""One trial, and many: seeded, watched for hangs, and counted by what they come to."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

Random = np.random.Generator
T = TypeVar("T")

HARMLESS = "harmless"
"""The result must be that of the untouched thing."""
HARMFUL = "harmful"
"""It must be refused, and the thing named."""
UNKNOWN = "unknown"
"""It must be refused, or finish with a sound result."""

SECONDS = 30
"""More than any trial takes on a busy machine."""


class WrongError(AssertionError):
    """The outcome is none that was promised."""


class Hang(BaseException):
    """A trial took too long. No ``Exception``, so that no code under test takes it for its own."""


@dataclass(frozen=True)
class Family:
    """Trials of one kind.

    Attributes
    ----------
    trial : callable
        Takes a source of randomness and an empty directory, and a list to note in what it did;
        returns the outcome in a word or two, or raises :class:`WrongError`.
    prepare : callable
        Makes what the trials share, once; compiling and importing take longer than any trial.
    """

    name: str
    trial: Callable[[Random, Path, list[str]], str]
    prepare: Callable[[], object] = str


@dataclass(frozen=True)
class Failure:
    """A trial that failed."""

    family: str
    seed: int
    index: int
    done: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        replay = f"python -m tests.fuzz --seed {self.seed} --replay {self.family}:{self.index}"
        return f"{replay}\n  did: {'; '.join(self.done)}\n  {self.reason}"


@dataclass
class Tally:
    """What the trials of a family came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0


def one_of(random: Random, choices: Any) -> Any:
    """One of some things, which may be of any kind."""
    things = list(choices)
    return things[int(random.integers(len(things)))]


def some_of(random: Random, choices: list[T], least: int = 1, most: int = 3) -> list[T]:
    """Some of them, in random order."""
    n = int(random.integers(least, min(most, len(choices)) + 1))
    return [choices[i] for i in random.permutation(len(choices))[:n]]


def run_trial(family: Family, seed: int, index: int) -> tuple[str, Failure | None]:
    """One trial, which depends on nothing but the family, the seed and the index."""
    random = np.random.default_rng([seed, zlib.crc32(family.name.encode()), index])
    done: list[str] = []
    family.prepare()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        try:
            with watched(SECONDS):
                return family.trial(random, Path(place).resolve(), done), None
        except Hang:
            reason = f"no end after {SECONDS} s"
        except WrongError as error:
            reason = str(error)
        except Exception:
            reason = traceback.format_exc()
    return "FAILED", Failure(family.name, seed, index, tuple(done), reason)


def run_trials(
    family: Family, seed: int, trials: int, tell: Callable[[Failure], object] = str
) -> Tally:
    """The first trials of a family; each failure is told at once."""
    tally, start = Tally(), time.monotonic()
    for index in range(trials):
        outcome, failure = run_trial(family, seed, index)
        tally.outcomes[outcome] += 1
        if failure is not None:
            tally.failures.append(failure)
            tell(failure)
    tally.seconds = time.monotonic() - start
    return tally


@contextmanager
def watched(seconds: int) -> Iterator[None]:
    """Raise :class:`Hang` if the work takes longer."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def quick() -> Iterator[None]:
    """One thread, and nothing forced onto the disk: most of the time of so small a run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(os, "fsync", lambda handle: None)
        yield
    torch.set_num_threads(before)


def require(fine: object, reason: str) -> None:
    """Raise :class:`WrongError` unless something is fine."""
    if not fine:
        raise WrongError(reason)
