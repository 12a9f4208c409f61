"""The command of the README, and the flow as one function: from raw logs to the results table.

``python -m gpu_coldstart.run`` is the same as ``gpu-coldstart run`` (:mod:`gpu_coldstart.cli.run`);
the stages themselves are in :mod:`gpu_coldstart.runs.pipeline`.
"""

from __future__ import annotations

import sys

from gpu_coldstart.cli import interruption

if __name__ == "__main__":
    interruption.install()  # before any import that takes its time

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_coldstart.config.parameters import Config
    from gpu_coldstart.data.dataset import Dataset
    from gpu_coldstart.engine import Engine
    from gpu_coldstart.runs.beside import Card
    from gpu_coldstart.runs.pipeline import Outcome
    from gpu_coldstart.runs.progress import Reporter

__all__ = ["main", "run"]


def run(
    config: Config,
    engine: Engine,
    out: Path,
    reporter: Reporter,
    *,
    resume: bool,
    overwrite: bool = False,
    others: Sequence[Card] = (),
    track: Sequence[str] = (),
    dataset: Dataset | None = None,
) -> Outcome:
    """Run a configuration and write everything into ``out``.

    A run of the same configuration on the same data that is there already is gone on with; of a
    finished one the results are printed again.

    Parameters
    ----------
    resume : bool
        Go on with the earlier run there even where settings differ; what depends on them is made
        again.
    overwrite : bool
        Replace the earlier run there.
    others : sequence of Card
        More GPUs of the same model, fewer than there are spaces; each learns one of the last
        spaces, in a process of its own.
    track : sequence of str
        Where else to write what comes of stages and epochs
        (:data:`gpu_coldstart.runs.tracking.TRACKERS`).
    dataset : Dataset, or None
        The configured one, opened in another way; None for the plain way.

    Raises
    ------
    UserError
        For any mistake in the input, the options or the surroundings.
    """
    # Not at the top: they take seconds, which --help need not wait for.
    from gpu_coldstart.config.parameters import flat
    from gpu_coldstart.registry import DATASETS
    from gpu_coldstart.reporting import results
    from gpu_coldstart.reporting.budget import budget_notes
    from gpu_coldstart.reporting.write import Remarks, write_report
    from gpu_coldstart.runs.lock import locked
    from gpu_coldstart.runs.pipeline import Pipeline
    from gpu_coldstart.runs.tracking import tracked

    with locked(out):
        dataset = dataset or DATASETS.get(config.dataset).open(config)
        pipeline = Pipeline(engine, config, out, reporter, dataset)
        pipeline.open(resume=resume, overwrite=overwrite)
        directory = pipeline.directory
        if directory.complete:
            reporter.say(f"{out} holds this run already, finished: there is nothing to do")
        with tracked(track, out, flat(config)) as reporter.followed:
            outcome = pipeline.run(others)
            reporter.followed.results(outcome.rows)
        warnings = [*outcome.notes, *results.below_popularity(outcome.rows)]
        notes = [*results.not_measured(outcome.logs.n_target), *budget_notes(config)]
        failures: list[str] = []
        if not directory.complete:
            remarks = Remarks(warnings, notes)
            failures = write_report(
                directory, engine, config, outcome, stages=reporter.times, remarks=remarks
            )
        for line in _summary(config, outcome, [*warnings, *notes, *failures]):
            reporter.say(line)
        places = ["report.html", "results.md", "results.json", "recommendations/", "artifacts/"]
        if outcome.tables:
            places.append("tables/")
        if config.evaluation.figures and not failures:
            places.append("figures/")
        reporter.say(f"written to {out}: {', '.join(places)}")
    return outcome


def _summary(config: Config, outcome: Outcome, remarks: Sequence[str]) -> Iterator[str]:
    """The results, and what to know of them."""
    from gpu_coldstart.reporting import results

    for k in config.evaluation.k:
        yield f"\nTop {k}, in per cent, P of min({k}, truth):\n{results.table(outcome.rows, k)}"
    yield "\n" + "\n".join([f"split: {outcome.logs.split_rule}", *remarks])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    from gpu_coldstart.cli.main import main as command_line

    return command_line(arguments, command="run", name="python -m gpu_coldstart.run")


if __name__ == "__main__":
    sys.exit(main())
