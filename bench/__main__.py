"""``python -m bench list | run | report``: see ``bench/README.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import threads
from bench.sweep import apart, measure, say
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    from bench.results import Result

_EXAMPLES = """\
examples:
  python -m bench list
  python -m bench run --scale 0.1 --out bench/results/mine.json
  python -m bench run top-50 'als-*' --rounds 3 --threads 2 --out bench/results/mine.json
  python -m bench run kmeans assign --scale 0.03,0.1,0.3,1 --out bench/results/mine-by-size.json
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
    add("--without", nargs="+", default=[], metavar="NAME", help="not these benchmarks or patterns")
    add(
        "--scale",
        type=_scales,
        dest="scales",
        default=[1.0],
        metavar="SCALE[,SCALE...]",
        help="of the paper's sizes (1); several are a sweep, each in a process of its own",
    )
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


def _scales(text: str) -> list[float]:
    """Numbers between commas, from small to large, each once."""
    try:
        return sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number, nor some with commas") from None


def _list() -> int:
    from bench.benchmarks import ALL

    wide = max(map(len, ALL))
    for name, benchmark in ALL.items():
        say(f"{name:<{wide}}  {benchmark.what}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be measured before hours are spent on it."""
    for scale in options.scales:
        if not 0 < scale <= 100:
            raise UserError(f"--scale is {scale:g}: give more than 0 and at most 100")
    if options.tables and len(options.scales) > 1:
        raise UserError("--tables holds the world of one scale: name one --scale, or none of them")
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
    from bench import results

    for scale in options.scales:
        if len(options.scales) == 1:
            measure(options, scale)
        else:
            say(f"scale {scale:g}")
            apart(measure, options, scale)
    campaign = results.load(options.out)
    complaints = [line for result in campaign.results for line in _complaints(result, options)]
    say("\n".join([*complaints, f"written to {options.out}"]))
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
        say(f"written to {report.write(path, options.out)}")
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
