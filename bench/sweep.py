"""A scale of a command, and each of several in a process of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from fnmatch import fnmatch
from multiprocessing import get_context
from typing import TYPE_CHECKING

from bench import threads
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    from bench.cases import Benchmark

__all__ = ["apart", "measure", "say"]


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Do ``work`` in a new process, which holds nothing of those before it.

    What a library keeps would count for less memory at the next scale, and a scale that the
    machine has no room for ends no process but its own.

    Raises
    ------
    UserError
        When the process is killed; and whatever the work raises.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            pool.submit(work, *arguments).result()
        except BrokenProcessPool as error:
            raise UserError(
                "the process of this scale was killed, likely for want of memory: leave the scale "
                "or some benchmarks out; what was measured before is kept"
            ) from error


def measure(options: argparse.Namespace, scale: float) -> None:
    """Measure the chosen benchmarks at a scale, and add the results to the file."""
    from bench import harness, machine, results
    from bench.cases import Setting
    from gpu_coldstart.engine import choose

    chosen = _chosen(options)
    with threads.limited(options.threads):
        setting = Setting(
            choose(options.engine)[0],
            scale,
            options.threads,
            options.seed,
            tables=options.tables,
        )
        first = scale == options.scales[0]
        if first:
            campaign = results.Campaign(
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                machine=machine.describe(setting.engine, options.threads),
                settings={
                    "scales": options.scales,
                    "rounds": options.rounds,
                    "limit": options.limit,
                    "seed": options.seed,
                },
                results=[],
            )
        else:
            campaign = results.load(options.out)
        for benchmark in chosen:
            if benchmark.one_size and not first:
                continue
            found = harness.run(
                benchmark,
                setting,
                rounds=options.rounds,
                limit=options.limit,
                ours_only=options.ours,
                say=say,
            )
            campaign.results.append(found)
            # After each, so that an interruption costs no more than the one it hits.
            results.save(options.out, campaign)


def _chosen(options: argparse.Namespace) -> list[Benchmark]:
    """The benchmarks that are asked for, in the order of the flow."""
    from bench.benchmarks import ALL

    def known(patterns: Sequence[str]) -> set[str]:
        for pattern in patterns:
            if not any(fnmatch(name, pattern) for name in ALL):
                raise UserError(f"no benchmark is called '{pattern}': use some of {', '.join(ALL)}")
        return {name for name in ALL if any(fnmatch(name, each) for each in patterns)}

    chosen = known(options.names or ["*"]) - known(options.without)
    if not chosen:
        raise UserError("--without leaves no benchmark: name fewer there")
    return [one for name, one in ALL.items() if name in chosen]


def say(line: str) -> None:
    """Write a line at once, whoever reads it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
