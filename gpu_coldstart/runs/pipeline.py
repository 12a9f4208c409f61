"""Does the stages of a run and sums up what they came to.

The stages are declared in :mod:`gpu_coldstart.runs.flow`. What an earlier run in the same place has
finished, and nothing has changed for, is read instead of made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.config.resolve import to_toml
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine.base import Engine, HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.analysis import RunResults, analyse
from gpu_coldstart.evaluation.observed import observe
from gpu_coldstart.evaluation.protocol import MEASURES, Protocol, Row, Sample
from gpu_coldstart.evaluation.replay import notes as replay_notes
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import guarded, json_bytes, read_json, write_atomically
from gpu_coldstart.runs.beside import Card, Done, Helper, Task, helping
from gpu_coldstart.runs.checkpoint import FileCheckpoint
from gpu_coldstart.runs.environment import versions_of_run
from gpu_coldstart.runs.fingerprint import fingerprint
from gpu_coldstart.runs.flow import Flow
from gpu_coldstart.runs.opening import open_run
from gpu_coldstart.runs.progress import Reporter, StageTime
from gpu_coldstart.runs.results import space_results
from gpu_coldstart.runs.settings import check_lists, check_settings
from gpu_coldstart.runs.stages import Codec, Given, Runner, Stage, keys_of
from gpu_coldstart.runs.store import RunDirectory
from gpu_coldstart.runs.tables import files_of, read_tables
from gpu_coldstart.strategies import carousels

__all__ = ["Outcome", "Pipeline"]


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    rows : list of Row
    logs : Logs
    truth : GroundTruth
    notes : list of str
        What was left out, assumed or fallen back on, for the report.
    losses : dict of space to tuple of float
        The objective after each iteration, of the spaces fitted by iterations.
    tables : dict of name to table
        The evaluation (:data:`gpu_coldstart.evaluation.tables.SCHEMAS`); empty when left out.
    """

    rows: list[Row]
    logs: Logs
    truth: GroundTruth
    notes: list[str]
    losses: dict[str, tuple[float, ...]]
    tables: dict[str, Table]


class Pipeline:
    """Runs the stages of one configuration on one engine into one directory.

    Parameters
    ----------
    engine : Engine
    config : Config
    out : Path
        The run directory, locked by this process.
    reporter : Reporter
    dataset : Dataset

    Attributes
    ----------
    directory : RunDirectory
    flow : Flow
    """

    def __init__(
        self, engine: Engine, config: Config, out: Path, reporter: Reporter, dataset: Dataset
    ):
        self.engine = engine
        self.config = config
        self.reporter = reporter
        self._dataset = dataset
        self._out = out
        values = _jsonable(flat(config))
        data = fingerprint(dataset.files())
        self.flow = Flow(
            engine,
            config,
            dataset,
            {name: content["sha256"] for name, content in data.items()},
            progress=reporter.step,
            checkpoint=self._checkpoint,
        )
        self._evaluation = self._evaluating()
        self._analysis = self._analysing()
        stages = [*self.flow, self._evaluation, self._analysis]
        surroundings: dict[str, str | int] = {"engine": engine.name, "threads": engine.threads}
        if engine.device:
            surroundings["device"] = engine.device
        # Both show the whole configuration. Figures come last, so that a failure to draw leaves
        # the results.
        shown = [
            Stage(name, _nothing, None, tuple(stages), tuple(values))
            for name in (paths.RESULTS_STAGE, paths.REPORT_STAGE)
        ]
        self._keys = keys_of([*stages, *shown], values, surroundings)
        saved = {stage.name for stage in [*stages, *shown] if stage.codec or stage in shown}
        if not config.evaluation.analysis:
            saved.discard(self._analysis.name)
        self.directory = RunDirectory(
            out,
            {
                **surroundings,
                "config": values,
                "data": data,
                "versions": versions_of_run(config, engine.name),
            },
            {paths.CONFIG: to_toml(config).encode()},
            {name: key for name, key in self._keys.items() if name in saved},
        )

    def _checkpoint(self, stage: str) -> FileCheckpoint:
        return FileCheckpoint(self._out / paths.checkpoint(stage), self._keys[stage])

    def open(self, *, resume: bool | None, overwrite: bool) -> None:
        """Settle what becomes of an earlier run in the same place.

        Raises
        ------
        UserError
            When the place will not do (:func:`gpu_coldstart.runs.opening.open_run`).
        """
        open_run(self.directory, self.reporter.say, resume=resume, overwrite=overwrite)

    def runner(self) -> Runner:
        """What does single stages of an opened run, or reads them where they are done."""
        return Runner(self.directory, self.reporter, self._read_times(), self._save_times)

    def run(self, others: Sequence[Card] = ()) -> Outcome:
        """Run the remaining stages.

        Parameters
        ----------
        others : sequence of Card
            GPUs of the same model besides the engine's, fewer than there are spaces. Each of the
            last spaces is learned on one of them, by a process of its own.
        """
        config, reporter, flow = self.config, self.reporter, self.flow
        runner = self.runner()
        analysed = config.evaluation.analysis
        reporter.expect(1 + analysed + sum(stage.codec is not None for stage in flow))
        logs, truth = runner.value(flow.data)
        check_settings(self.engine, config, self._dataset, logs)
        check_lists(self.engine, config, logs)
        notes = [*logs.notes, *carousels.notes(self.engine, logs, config.carousels)]
        if config.carousels.playlists:
            notes += replay_notes(truth)
        losses: dict[str, tuple[float, ...]] = {}
        with self._helped(runner, others) as helpers:
            for name, learned in flow.learned.items():
                if name in helpers:
                    helpers[name].wait()
                space = runner.value(learned.space)
                notes += space.notes
                if space.losses:
                    losses[name] = space.losses
                    curve = " ".join(f"{loss:.5g}" for loss in space.losses)
                    reporter.say(f"        loss after each iteration: {curve}")
                self._do(runner, name)
        with reporter.stage("evaluation"):
            _, _, rows = runner.value(self._evaluation)
        tables: dict[str, Table] = {}
        if analysed:
            tables = runner.value(self._analysis)
        if not self.directory.complete:
            self._save_times()
        return Outcome(rows, logs, truth, notes, losses, tables)

    def learn(self, space: str, tell: Callable[[Done], None]) -> None:
        """Run the stages of one space, beside the process that has opened the run directory.

        Parameters
        ----------
        space : str
        tell : callable
            Called with every stage that was done.

        Raises
        ------
        UserError
            When that process's run is of other data, settings, or another model of GPU.
        """
        directory, times = self.directory, self.reporter.times
        directory.share()
        if not (directory.has("config") and directory.has(self.flow.data.name)):
            raise UserError(
                f"{self._out} was begun with other data, settings or another engine than a second "
                "process of the run finds: run again"
            )
        self.reporter.log_to(directory.path / paths.LOG)

        def done() -> None:
            tell(Done(directory.stages[times[-1].name], times[-1]))

        self._do(Runner(directory, self.reporter, {}, done), space)

    def _do(self, runner: Runner, space: str) -> None:
        learned = self.flow.learned[space]
        for stage in learned:
            runner.do(stage)
        runner.forget([learned.inputs, learned.prepared])

    @contextmanager
    def _helped(self, runner: Runner, others: Sequence[Card]) -> Iterator[dict[str, Helper]]:
        """Processes at work on the spaces, of the last ones, that are not done, by space."""
        flow, directory, reporter = self.flow, self.directory, self.reporter
        tasks = [
            Task(self._out, space, card)
            for space, card in zip(reversed(flow.learned), others, strict=False)
            if not all(directory.has(stage.name) for stage in flow.learned[space] if stage.codec)
        ]
        if not tasks:
            yield {}
            return
        directory.begin()
        for task in tasks:
            reporter.say(f"{task.space} is learned at the same time, on GPU {task.card.device}")
        try:
            with helping(tasks, runner.take) as helpers:

                def poll() -> None:
                    for helper in helpers.values():
                        helper.poll()

                with reporter.checking(poll):
                    yield helpers
        finally:
            directory.remove_temporaries()
        places = {stage.name: place for place, stage in enumerate(flow)}
        reporter.times.sort(key=lambda time: places[time.name])

    def _evaluating(self) -> Stage[tuple[Protocol, Sample, list[Row]]]:
        """4.1.4: means, deviations and intervals over the test users; cheaper to make than keep."""
        options, learned = self.config.evaluation, self.flow.learned

        def make(given: Given) -> tuple[Protocol, Sample, list[Row]]:
            measures = {
                (space, way): self._measures(given[stage].measures)
                for space, of_space in learned.items()
                for way, stage in of_space.strategies.items()
            }
            protocol = Protocol(
                next(iter(measures.values())).shape[-1],
                folds=options.folds,
                bootstrap=options.bootstrap,
                seed=self.config.seed,
                deviation=options.deviation,
            )
            sample = protocol.sample(measures, options.k)
            return protocol, sample, protocol.rows(sample)

        parameters = ("k", "folds", "bootstrap", "deviation")
        return Stage(
            "evaluation",
            make,
            inputs=tuple(
                stage for of_space in learned.values() for stage in of_space.strategies.values()
            ),
            parameters=("seed", *(f"evaluation.{name}" for name in parameters)),
        )

    def _measures(self, columns: Mapping[str, HostArray]) -> HostArray:
        """Each test user's measures [K, measure, users]."""
        ks = self.config.evaluation.k
        return np.array([[columns[f"{measure}@{k}"] for measure in MEASURES] for k in ks])

    def _analysing(self) -> Stage[dict[str, Table]]:
        """Comparisons of strategies, Figures 4 and 5, Table 2, and how training went."""
        flow = self.flow

        def make(given: Given) -> dict[str, Table]:
            logs, truth = given[flow.data]
            spaces = {
                name: space_results(
                    self.engine, given, name, learned, data=given[flow.data], config=self.config
                )
                for name, learned in flow.learned.items()
            }
            return analyse(
                observe(self.engine, logs, truth, self.config.features.age_classes),
                RunResults(spaces, *given[self._evaluation]),
                self.config.evaluation,
                self.config.carousels,
                seed=self.config.seed,
                progress=self.reporter.step,
            )

        sections = (
            *("evaluation", "carousels", "features", "new_releases", "strategies"),
            *("spaces", "seed"),
        )
        return Stage(
            "analysis",
            make,
            Codec(lambda given, tables: files_of(tables), read_tables),
            (*(stage for stage in flow if stage.codec), self._evaluation),
            tuple(
                key
                for key in flat(self.config)
                if key.partition(".")[0] in sections and key != "evaluation.figures"
            ),
        )

    # -- times ---------------------------------------------------------------------------------

    def _read_times(self) -> dict[str, StageTime]:
        """Times of the stages that are done already.

        Raises
        ------
        UserError
            When the file is damaged.
        """
        path = self.directory.path / paths.TIMES
        if not path.exists() or not self.directory.stages:
            return {}
        with guarded(path, "delete it; nothing but the times of earlier stages is lost"):
            entries = [StageTime(**entry) for entry in read_json(read_bytes(path), list)]
            return {
                str(entry.name): StageTime(entry.name, *map(float, _numbers(entry)))
                for entry in entries
            }

    def _save_times(self) -> None:
        self.reporter.log_to(self.directory.path / paths.LOG)
        content = json_bytes([vars(entry) for entry in self.reporter.times])
        write_atomically(self.directory.path / paths.TIMES, content)


def _numbers(entry: StageTime) -> tuple[float, float, float, float]:
    return entry.seconds, entry.peak_rss_mb, entry.peak_gpu_mb, entry.reserved_gpu_mb


def _nothing(given: Given) -> None:
    del given


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they come back from JSON, tuples as lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
