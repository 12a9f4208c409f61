"""The command of the README, and the flow as one function: from raw logs to the results table.

``python -m gpu_coldstart.run`` is the same as ``gpu-coldstart run`` (:mod:`gpu_coldstart.cli.run`);
the stages themselves are in :mod:`gpu_coldstart.runs.pipeline`.
"""

from __future__ import annotations

import sys

from gpu_coldstart import interruption

if __name__ == "__main__":
    interruption.install()  # before any import that takes its time

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_coldstart.config.parameters import Config
    from gpu_coldstart.engine import Engine
    from gpu_coldstart.runs.pipeline import Outcome
    from gpu_coldstart.runs.progress import Reporter

__all__ = ["main", "run"]


def run(config: Config, engine: Engine, out: Path, reporter: Reporter, *, resume: bool) -> Outcome:
    """Run a configuration and write everything into ``out``.

    Parameters
    ----------
    resume : bool
        Go on with an interrupted run of the same configuration, if there is one.

    Raises
    ------
    UserError
        For any mistake in the input, the options or the surroundings.
    """
    # Not at the top: they take seconds, which --help need not wait for.
    from gpu_coldstart.config.parameters import flat
    from gpu_coldstart.config.resolve import to_toml
    from gpu_coldstart.registry import DATASETS
    from gpu_coldstart.reporting import results
    from gpu_coldstart.reporting.write import write_report
    from gpu_coldstart.runs.artifacts import RunDirectory
    from gpu_coldstart.runs.pipeline import Pipeline

    identity = {
        "engine": engine.name,
        "threads": engine.threads,
        "config": _jsonable(flat(config)),
    }
    directory = RunDirectory(out, identity, {"config.toml": to_toml(config).encode()})
    if resume and directory.resume(lambda earlier: _difference(earlier, identity)):
        reporter.log_to(out / "run.log")
    else:
        directory.check()
        if resume:
            reporter.say(f"{out} holds no finished stage to resume: starting from the beginning")
    dataset = DATASETS.get(config.dataset).open(config)
    outcome = Pipeline(engine, config, directory, reporter, dataset).run()
    ks = config.evaluation.k
    notes = [
        *outcome.notes,
        *results.not_measured(outcome.logs.n_target),
        *results.below_popularity(outcome.rows),
    ]
    failures = write_report(directory, engine, config, outcome, stages=reporter.times, notes=notes)
    for k in ks:
        reporter.say(f"\nTop {k}, in per cent:\n{results.table(outcome.rows, k)}")
    reporter.say("\n" + "\n".join([f"split: {outcome.logs.split_rule}", *notes, *failures]))
    places = ["report.html", "results.md", "results.json", "recommendations/", "artifacts/"]
    if outcome.tables:
        places.append("tables/")
    if config.evaluation.figures and not failures:
        places.append("figures/")
    reporter.say(f"written to {out}: {', '.join(places)}")
    return outcome


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, so that a value read back from JSON compares equal."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def _difference(earlier: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What forbids to resume: the keys whose values differ."""
    before, after = dict(earlier.get("config", {})), dict(now["config"])
    for key, name in (("engine", "--engine"), ("threads", "OMP_NUM_THREADS")):
        before[name], after[name] = earlier.get(key), now[key]
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not keys:
        return None
    told = ", ".join(f"{key} (was {before.get(key)!r}, now {after.get(key)!r})" for key in keys)
    return f"the configuration differs in {told}; use the earlier values, or leave out --resume"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    from gpu_coldstart.cli.main import main as command_line

    return command_line(arguments, command="run", name="python -m gpu_coldstart.run")


if __name__ == "__main__":
    sys.exit(main())
