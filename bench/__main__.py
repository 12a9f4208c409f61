"""``python -m bench list | run | report``: see ``bench/README.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from bench import threads
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    from bench.results import Result

_EXAMPLES = """\
examples:
  python -m bench list
  python -m bench run --scale 0.1 --out bench/results/mine.json
  python -m bench run top-50 'als-*' --rounds 3 --threads 2 --out bench/results/mine.json
  python -m bench report bench/results/mine.json --out bench/results

exit status: 0 done, 1 a contender failed or found something else than ours, 2 a mistake in the
options
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure this project and its rivals at the same work.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what there is to measure")
    measuring = commands.add_parser("run", help="measure")
    add = measuring.add_argument
    add("names", nargs="*", metavar="NAME", help="benchmarks, or patterns like 'als-*' (all)")
    add("--scale", type=float, default=1.0, help="of the paper's sizes (1)")
    add("--engine", choices=("cpu", "cuda"), default="cpu", help="processor (cpu)")
    add("--rounds", type=int, default=7, help="calls of each contender (7; slow ones fewer)")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for everybody (all)")
    add("--seed", type=int, default=0, help="of generated data and random choices (0)")
    add(
        "--limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="a contender slower than this is not called again (300)",
    )
    add("--tables", type=Path, metavar="DIR", help="holds the world of the scale, not to make it")
    add("--ours", action="store_true", help="leave the rivals out")
    add("--complete", action="store_true", help="exit with 1 if a rival is not installed")
    add("--out", type=Path, required=True, metavar="FILE.json", help="takes the results")
    reporting = commands.add_parser("report", help="Markdown and plots from results")
    reporting.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    reporting.add_argument("--out", type=Path, required=True, metavar="DIR")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _list() -> int:
    from bench.benchmarks import ALL

    wide = max(map(len, ALL))
    for name, benchmark in ALL.items():
        _say(f"{name:<{wide}}  {benchmark.what}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be measured before hours are spent on it."""
    if not 0 < options.scale <= 100:
        raise UserError(f"--scale is {options.scale:g}: give more than 0 and at most 100")
    for name, least in (("rounds", 1), ("threads", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise UserError(f"--{name} is {getattr(options, name)}: give {least} or more")
    if options.out.suffix != ".json":
        raise UserError(f"--out {options.out} should end in .json: the results are JSON")
    if options.out.exists():
        raise UserError(f"{options.out} exists: choose another name, results are not overwritten")


def _run(options: argparse.Namespace) -> int:
    _check(options)
    # Before any library that reads it is loaded.
    threads.announce(options.threads)
    from bench import harness, machine, results
    from bench.benchmarks import ALL
    from bench.cases import Setting
    from gpu_coldstart.engine import choose

    patterns = options.names or ["*"]
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in ALL):
            raise UserError(f"no benchmark is called '{pattern}': use some of {', '.join(ALL)}")
    chosen = [one for name, one in ALL.items() if any(fnmatch(name, p) for p in patterns)]
    with threads.limited(options.threads):
        setting = Setting(
            choose(options.engine)[0],
            options.scale,
            options.threads,
            options.seed,
            tables=options.tables,
        )
        campaign = results.Campaign(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine.describe(setting.engine, options.threads),
            settings={
                "scale": options.scale,
                "rounds": options.rounds,
                "limit": options.limit,
                "seed": options.seed,
            },
            results=[],
        )
        for benchmark in chosen:
            found = harness.run(
                benchmark,
                setting,
                rounds=options.rounds,
                limit=options.limit,
                ours_only=options.ours,
                say=_say,
            )
            campaign.results.append(found)
            # After each, so that an interruption costs no more than the one it hits.
            results.save(options.out, campaign)
    complaints = [line for result in campaign.results for line in _complaints(result, options)]
    _say("\n".join([*complaints, f"written to {options.out}"]))
    return 1 if complaints else 0


def _complaints(result: Result, options: argparse.Namespace) -> list[str]:
    """What went wrong with a benchmark, if anything."""
    found = []
    if options.complete and result.skipped:
        found.append(f"{result.name} did not run: {result.skipped}")
    for one in result.outcomes:
        if one.status == "failed" or (one.status == "missing" and options.complete):
            found.append(f"{result.name}: {one.name} {one.status}: {one.reason}")
        elif one.verdict == "differs":
            found.append(f"{result.name}: {one.name} found something else: {one.quality}")
    return found


def _report(options: argparse.Namespace) -> int:
    from bench import report

    for path in options.files:
        _say(f"written to {report.write(path, options.out)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "list":
            return _list()
        return _run(options) if options.command == "run" else _report(options)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
