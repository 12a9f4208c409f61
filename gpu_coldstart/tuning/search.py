"""The whole search: what all trials share, the trials of each part, and what they leave."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import DATASETS
from gpu_coldstart.runs.artifacts import parquet_bytes, write_atomically
from gpu_coldstart.runs.lock import locked
from gpu_coldstart.runs.pipeline import Pipeline
from gpu_coldstart.runs.progress import Reporter
from gpu_coldstart.tuning import report
from gpu_coldstart.tuning.bench import Bench, Outcome, needed, saved_in
from gpu_coldstart.tuning.components import Component
from gpu_coldstart.tuning.page import write_page
from gpu_coldstart.tuning.study import Attempt, Study
from gpu_coldstart.tuning.workers import Processor, Task, in_processes

__all__ = ["Budget", "search"]


@dataclass(frozen=True)
class Budget:
    """How much is tried, the same for every part.

    Attributes
    ----------
    trials : int
        Of each part.
    seconds : float
        After so many no further trial begins.
    jobs : int
        Processes.
    """

    trials: int
    seconds: float = float("inf")
    jobs: int = 1


def search(
    config: Config,
    components: Sequence[Component],
    engine: Engine,
    out: Path,
    reporter: Reporter,
    *,
    budget: Budget,
    processor: Processor,
    overwrite: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Config:
    """Look for better settings of some parts, each by itself, the others as configured.

    Trials that are there from an earlier command with the same settings on the same data count.

    Parameters
    ----------
    processor : Processor
        The engine again, as other processes choose it.
    overwrite : bool
        Start again.
    check : callable
        Raises if the command is to stop.

    Returns
    -------
    Config
        With the best settings found, as in ``best.toml``.

    Raises
    ------
    UserError
        For any mistake in the input, the options or the surroundings.
    """
    with locked(out):
        dataset = DATASETS.get(config.dataset).open(config)
        base = _base(config, components)
        pipeline = Pipeline(engine, base, out, reporter, dataset)
        pipeline.open(resume=None, overwrite=overwrite)
        _do_shared(pipeline, components)
        if overwrite:
            shutil.rmtree(out / report.TRIALS, ignore_errors=True)
        studies = {
            part.name: Study(report.journal(out, part.name), part, config) for part in components
        }
        reporter.expect(sum(max(0, budget.trials - each.done) for each in studies.values()))
        saved, deadline = saved_in(out), time.monotonic() + budget.seconds

        def more() -> int:
            return budget.trials if time.monotonic() < deadline else 0

        for part in components:
            study = studies[part.name]
            reporter.say(report.intention(part, study.done, budget.trials))

            def noted(attempt: Attempt, outcome: Outcome, study: Study = study) -> None:
                _note(out, study, attempt, outcome)
                reporter.say(report.line(study.entry(attempt.number)))
                report.write_settings(out, config, studies)

            if budget.jobs == 1:
                bench = Bench(engine, base, dataset, part, saved=saved, progress=reporter.step)
                _here(study, bench, reporter, more=more, noted=noted)
                continue
            in_processes(
                study,
                Task(out, part, processor),
                jobs=min(budget.jobs, max(1, budget.trials - study.done)),
                threads=max(1, engine.threads // budget.jobs),
                more=more,
                noted=noted,
                check=check,
            )
        best = report.write_settings(out, config, studies)
        write_page(out, config, studies)
        reporter.say("\n" + report.summary(out, config, studies))
    return best


def _base(config: Config, components: Sequence[Component]) -> Config:
    """The run whose stages the trials share: no test user's lists are ever made in it."""
    judges = tuple(dict.fromkeys(part.judge for part in components))
    return config.replace(
        spaces=tuple(dict.fromkeys(part.space for part in components)),
        strategies=config.strategies.replace(names=judges),
        carousels=config.carousels.replace(playlists=0),
        evaluation=config.evaluation.replace(analysis=False),
    )


def _do_shared(pipeline: Pipeline, components: Sequence[Component]) -> None:
    """Do the stages that no trial changes."""
    stages = {
        stage.name: stage
        for part in components
        for stage in needed(pipeline.flow.learned[part.space], part, pipeline.config)
        if stage.codec is not None
    }
    runner = pipeline.runner()
    pipeline.reporter.expect(len(stages))
    for stage in stages.values():
        runner.do(stage)


def _here(
    study: Study,
    bench: Bench,
    reporter: Reporter,
    *,
    more: Callable[[], int],
    noted: Callable[[Attempt, Outcome], None],
) -> None:
    """Try settings one after another in this process."""
    while (attempt := study.ask(more())) is not None:
        name = f"{study.component.name}, trial {attempt.number}"
        try:
            with reporter.stage(name):
                outcome = bench.tried(attempt.settings, partial(study.goes_on, attempt))
        except BaseException:
            study.give_up(attempt)
            raise
        noted(attempt, outcome)


def _note(out: Path, study: Study, attempt: Attempt, outcome: Outcome) -> None:
    """Keep what came of a trial.

    Raises
    ------
    UserError
        When the settings as they are configured will not do.
    """
    if outcome.note and attempt.configured:
        study.give_up(attempt)
        raise UserError(outcome.note)
    if outcome.of_users is not None:
        content = parquet_bytes({"ndcg": outcome.of_users})
        write_atomically(report.of_users(out, study.component.name, attempt.number), content)
    study.finish(attempt, outcome.ndcg, outcome.note)
