"""Stages: values that declare what they depend on and what they leave on disk.

A stage has a name, the stages it takes its input from, the configuration keys it reads, and a codec
between its value and its files. The first three determine its key, a hash; a stage whose key is
in the manifest is already done, whatever else has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.runs.artifacts import DAMAGE, lacks_memory
from gpu_coldstart.runs.beside import Done
from gpu_coldstart.runs.progress import Reporter, StageTime
from gpu_coldstart.runs.store import Files, RunDirectory

__all__ = ["Codec", "Given", "InMemory", "Runner", "Stage", "keys_of"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SCHEMA = 4
"""Version of the stages' files; raising it makes every stage run again."""


class Given(Protocol):
    """The values of a stage's inputs, by stage."""

    def __getitem__(self, stage: Stage[T], /) -> T:
        """The value of one of the declared inputs."""


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How a stage's value becomes files, and the other way round.

    Attributes
    ----------
    encode : callable
        From the inputs and the value to the content of each file, by its name.
    decode : callable
        From those contents to the value.
    """

    encode: Callable[[Given, T], Files]
    decode: Callable[[Files], T]


@dataclass(frozen=True, eq=False)
class Stage(Generic[T]):
    """A step of the flow.

    Attributes
    ----------
    name : str
        Such as ``tt-svd/space``.
    make : callable
        From the values of the inputs to the value of this stage.
    codec : Codec or None
        None for a value that is cheaper to make than to keep; it is made when first needed.
    inputs : tuple of Stage
        The only stages whose values ``make`` and the codec can ask for.
    parameters : tuple of str
        The configuration keys that ``make`` and the codec read, as ``mlp.hidden``.
    files : mapping of name to SHA-256
        Input files that the stage reads.
    """

    name: str
    make: Callable[[Given], T]
    codec: Codec[T] | None = None
    inputs: tuple[Stage[Any], ...] = ()
    parameters: tuple[str, ...] = ()
    files: Mapping[str, str] | None = None


def keys_of(
    stages: Sequence[Stage[Any]], values: Mapping[str, Any], surroundings: Mapping[str, Any]
) -> dict[str, str]:
    """The key of each stage, by name.

    Parameters
    ----------
    stages : sequence of Stage
        Each after its inputs.
    values : mapping of configuration key to value
    surroundings : mapping
        What else every stage's exact result depends on: the engine, its threads and GPU.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        dependencies = {
            "schema": _SCHEMA,
            "name": stage.name,
            "surroundings": dict(surroundings),
            "parameters": {name: values[name] for name in stage.parameters},
            "files": dict(stage.files or {}),
            "inputs": {source.name: keys[source.name] for source in stage.inputs},
        }
        text = json.dumps(dependencies, sort_keys=True)
        keys[stage.name] = hashlib.sha256(text.encode()).hexdigest()
    return keys


class Runner:
    """Runs stages, or reuses those that the run directory has.

    Parameters
    ----------
    directory : RunDirectory
        Opened.
    reporter : Reporter
    earlier : mapping of stage to StageTime
        How long the finished stages took.
    done : callable
        Called after every stage that was done.
    """

    def __init__(
        self,
        directory: RunDirectory,
        reporter: Reporter,
        earlier: Mapping[str, StageTime],
        done: Callable[[], None],
    ):
        self._directory = directory
        self._reporter = reporter
        self._earlier = earlier
        self._done = done
        self._values: dict[str, Any] = {}
        self._settled: set[str] = set()
        self._read: set[str] = set()

    def do(self, stage: Stage[Any]) -> None:
        """Do a stage and save it, unless that is done; its files are verified then.

        Raises
        ------
        UserError
            When a file is missing or damaged, or the disk is full.
        """
        codec = stage.codec
        if codec is None or stage.name in self._settled:
            return
        self._settled.add(stage.name)
        given = _Declared(self, stage)
        if self._directory.has(stage.name):
            self._directory.verify(stage.name)
            self._reporter.kept(stage.name, self._earlier.get(stage.name))
            return
        with self._reporter.stage(stage.name):
            with self._made_of_sound_files(stage):
                value = stage.make(given)
                files = codec.encode(given, value)
            self._directory.write(stage.name, files)
        self._values[stage.name] = value
        self._reporter.followed.learned(stage.name, value)
        self._done()

    def take(self, done: Done) -> None:
        """Count a stage that another process has done, and written the files of."""
        self._settled.add(done.time.name)
        self._directory.finish(done.time.name, done.files)
        self._reporter.took(done.time)
        self._done()

    def value(self, stage: Stage[T]) -> T:
        """The value of a stage: as made, or read back."""
        if stage.name not in self._values:
            given = _Declared(self, stage)
            if stage.codec is None:
                with self._made_of_sound_files(stage):
                    value = stage.make(given)
            else:
                self.do(stage)
                if stage.name in self._values:
                    return cast("T", self._values[stage.name])
                with self._directory.reading(stage.name) as files:
                    value = stage.codec.decode(files)
                self._read.add(stage.name)
            self._values[stage.name] = value
        return cast("T", self._values[stage.name])

    @contextmanager
    def _made_of_sound_files(self, stage: Stage[Any]) -> Iterator[None]:
        """Name the files that were read for a stage that fails, as they may not fit together.

        Hashes vouch for each file alone. What else is wrong is in the log, with its traceback.
        """
        try:
            yield
        except DAMAGE as error:
            read = [name for name in _sources(stage) if name in self._read]
            if lacks_memory(error) or not read:
                raise
            _log.info("stage %s failed on what was read", stage.name, exc_info=True)
            raise UserError(
                f"stage {stage.name} failed on what it read from {self._directory.places(read)} "
                f"({type(error).__name__}: {first_line(error)}): run again with --overwrite in "
                "case they are damaged; run.log has the traceback"
            ) from error

    def forget(self, stages: Sequence[Stage[Any]]) -> None:
        """Release values that no later stage needs."""
        for stage in stages:
            self._values.pop(stage.name, None)


def _sources(stage: Stage[Any]) -> dict[str, None]:
    """The names of all stages that a stage is made of, directly or not."""
    names: dict[str, None] = {}
    for source in stage.inputs:
        names |= {**_sources(source), source.name: None}
    return names


class InMemory:
    """Values of stages, made when first asked for; nothing is saved."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def __getitem__(self, stage: Stage[T], /) -> T:
        if stage.name not in self._values:
            self._values[stage.name] = stage.make(self)
        return cast("T", self._values[stage.name])


class _Declared:
    """The values that one stage declared as inputs."""

    def __init__(self, runner: Runner, stage: Stage[Any]):
        self._runner = runner
        self._stage = stage

    def __getitem__(self, stage: Stage[T], /) -> T:
        if stage not in self._stage.inputs:
            raise LookupError(f"stage {self._stage.name} does not declare the input {stage.name}")
        return self._runner.value(stage)
