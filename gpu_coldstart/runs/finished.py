"""A finished run, read again: the values of its stages, with nothing learned anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import guarded, read_json
from gpu_coldstart.runs.fingerprint import changed, fingerprint
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.stages import Stage, keys_of
from gpu_coldstart.runs.store import RunDirectory
from gpu_coldstart.runs.tables import read_tables
from gpu_coldstart.spaces import silent

__all__ = ["FinishedStages"]

T = TypeVar("T")

_ANALYSIS = "analysis"


class FinishedStages:
    """What the stages of a finished run came to, by stage.

    What a stage left is read, with its hash verified; what is cheaper to make than to keep is made
    of that. The data set is not opened, unless it brings input vectors of its own: then its files
    must be those that the run was on.

    Parameters
    ----------
    engine : Engine
        Holds the values; need not be the run's own.
    path : Path
        The run directory.

    Attributes
    ----------
    config : Config
    identity : dict
        Engine, threads, GPU, input files and versions of the run.
    flow : Flow
        Its stages are what values are asked for by.

    Raises
    ------
    UserError
        When there is no finished run, or it is not what its settings and this version would make.
    """

    def __init__(self, engine: Engine, path: Path):
        self.path = path
        self._directory = RunDirectory.finished(path)
        if not self._directory.has("config"):
            raise self._foreign("config")
        self._directory.verify("config")
        self.config: Config = resolve(files=[path / paths.CONFIG])
        self.identity = self._directory.identity
        dataset = DATASETS.get(self.config.dataset).open(self.config)
        self._check_data(dataset)
        with guarded(path / paths.MANIFEST, "do the run again"):
            digests = {name: each["sha256"] for name, each in self.files.items()}
            surroundings = {
                name: self.identity[name]
                for name in ("engine", "threads", *({"device"} & self.identity.keys()))
            }
        self.flow = Flow(engine, self.config, dataset, digests, progress=silent)
        self._keys = keys_of(list(self.flow), flat(self.config), surroundings)
        self._values: dict[str, Any] = {}

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Size and SHA-256 of each input file, by name; empty for data that are made."""
        return dict(self.identity.get("data", {}))

    def __getitem__(self, stage: Stage[T], /) -> T:
        """The value of a stage.

        Raises
        ------
        UserError
            When a file is damaged or missing, or the stage was not done as its settings ask.
        """
        if stage.name not in self._values:
            self._values[stage.name] = self._read(stage)
        return cast("T", self._values[stage.name])

    def _read(self, stage: Stage[T]) -> T:
        if stage.codec is None:
            return stage.make(self)
        there = self._directory.has(stage.name)
        if not there or self._directory.keys.get(stage.name) != self._keys[stage.name]:
            raise self._foreign(stage.name)
        with self._directory.reading(stage.name) as files:
            return stage.codec.decode(files)

    def _foreign(self, stage: str) -> UserError:
        return UserError(
            f"{self.path} holds a run whose stage {stage} is not what its settings and this "
            "version of gpu_coldstart make: give its command again with --resume"
        )

    def _check_data(self, dataset: Dataset) -> None:
        if type(dataset).inputs is Dataset.inputs:
            return  # they are made of the logs, which the run keeps
        moved = changed(self.files, fingerprint(dataset.files()))
        if moved:
            raise UserError(
                f"the data of {self.path} are not those it was run on: {'; '.join(moved)}: put "
                "them back"
            )

    # -- how good it was -----------------------------------------------------------------------

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of ``results.json``: each strategy's measures, by space and length of list."""
        path = self.path / paths.RESULTS
        with guarded(path, "give the run's command again with --resume"):
            rows: list[dict[str, Any]] = read_json(read_bytes(path), dict)["rows"]
            return [dict(row) for row in rows]

    @property
    def finished_at(self) -> str:
        """When the results were written, to the second (UTC)."""
        moment = (self.path / paths.RESULTS).stat().st_mtime
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")

    @property
    def tables(self) -> dict[str, Table]:
        """The tables of the evaluation; empty for a run without."""
        if not self._directory.has(_ANALYSIS):
            return {}
        with self._directory.reading(_ANALYSIS) as files:
            return read_tables(files)
