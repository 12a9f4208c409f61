"""What a benchmark is: its input, its contenders, and how their results are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from bench.data import Data
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError

__all__ = [
    "HIGHER",
    "LOWER",
    "SAME",
    "WARM_UP_SCALE",
    "Benchmark",
    "Case",
    "Contender",
    "Rule",
    "Setting",
    "UnavailableError",
    "Work",
    "on_tafeng",
]

Work: TypeAlias = Callable[[], Any]
"""What is timed: it has its input, and returns its result."""

Trace: TypeAlias = Callable[[], list[tuple[float, float]]]

SAME, LOWER, HIGHER = "same", "lower", "higher"

WARM_UP_SCALE = 0.005
"""Slow work is warmed up on a world of this size, and not at all where it is no larger itself."""


class UnavailableError(Exception):
    """A benchmark or contender that cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class Setting:
    """What all benchmarks of a command share.

    Attributes
    ----------
    engine : Engine
    scale : float
        1 for the paper's sizes.
    threads : int
    seed : int
    tafeng : bool
        Data are the Ta-Feng logs.
    tables : Path or None
        Holds the world of this scale; where None, it is made.
    """

    engine: Engine
    scale: float
    threads: int
    seed: int = 0
    tafeng: bool = False
    tables: Path | None = None

    @cached_property
    def data(self) -> Data:
        """The data, shared by the benchmarks that need any."""
        return Data(self.engine, self.scale, self.seed, tafeng=self.tafeng, directory=self.tables)

    @cached_property
    def on_tafeng(self) -> Setting:
        """The same with the Ta-Feng logs."""
        return replace(self, tafeng=True)

    def smaller(self) -> Setting:
        """The same with a small world, to warm up on."""
        return replace(self, scale=min(self.scale, WARM_UP_SCALE), tables=None)


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes
    ----------
    name : str
    start : callable
        Imports what is needed and lays out the input as this way wants it; returns the work.
        Only the work is timed.
    common : callable
        The work's result in the form that ``Case.quality`` takes; not timed.
    needs : tuple of str
        Modules that must be installed.
    ours : bool
    device : {"cpu", "cuda"}
        Runs where the engine does; ours runs everywhere.
    refused : str
        Why it is not run at this size; empty where it is.
    trace : callable or None
        Does the work once more, and returns (seconds, objective) after each step; the objective
        is not part of the seconds of a contender that would not compute it.
    """

    name: str
    start: Callable[[], Work]
    common: Callable[[Any], Any] = lambda result: result
    needs: tuple[str, ...] = ()
    ours: bool = False
    device: str = "cpu"
    refused: str = ""
    trace: Trace | None = None


@dataclass(frozen=True)
class Rule:
    """How a quality is compared with ours.

    Attributes
    ----------
    name : str
        Of the quality.
    kind : {"same", "lower", "higher"}
        ``same``: it may differ from ours by the tolerance, else a result is wrong. ``lower`` and
        ``higher`` say what is better; less than the tolerance, as a share of ours, is equal.
    tolerance : float
    """

    name: str
    kind: str
    tolerance: float


@dataclass(frozen=True)
class Case:
    """A benchmark at one size, its input made.

    Attributes
    ----------
    contenders : list of Contender
        Ours first.
    quality : callable (result, ours) -> dict of str to float
        Of a result in common form, given ours in that form.
    rules : tuple of Rule
    sizes, items, bytes, flops, versus
        See :class:`bench.results.Result`.
    parts : callable or None
        Seconds of each part of the work, from a result as the work returned it.
    """

    contenders: list[Contender]
    sizes: dict[str, int]
    quality: Callable[[Any, Any], dict[str, float]] = lambda result, ours: {}
    rules: tuple[Rule, ...] = ()
    items: str = ""
    bytes: float = 0.0
    flops: float = 0.0
    versus: bool = True
    parts: Callable[[Any], dict[str, float]] | None = None


@dataclass(frozen=True)
class Benchmark:
    """A piece of the flow, and who does it.

    Attributes
    ----------
    name : str
    what : str
        One line: the work, and the data.
    prepare : callable
        Makes the input; raises :class:`UnavailableError` where it cannot.
    slow : bool
        One call takes many seconds at the paper's size: warm up on a small world.
    most_rounds : int
        No more rounds than these.
    one_size : bool
        The data are of one size whatever the scale.
    """

    name: str
    what: str
    prepare: Callable[[Setting], Case]
    slow: bool = False
    most_rounds: int = 1000
    one_size: bool = False


def on_tafeng(benchmark: Benchmark) -> Benchmark:
    """The same of the Ta-Feng logs, real and of one size whatever the scale."""

    def prepare(setting: Setting) -> Case:
        try:
            return benchmark.prepare(setting.on_tafeng)
        except UserError as error:
            raise UnavailableError(str(error)) from error

    return replace(
        benchmark,
        name=f"{benchmark.name}-tafeng",
        what="the same of the Ta-Feng grocery logs",
        prepare=prepare,
        slow=False,  # there is no smaller one to warm up on
        one_size=True,
    )
