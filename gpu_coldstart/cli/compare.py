"""The second command: finished runs side by side, with tests of whether they differ.

``python -m gpu_coldstart.cli.compare RUN RUN...``; what is compared, and how, is told in
:mod:`gpu_coldstart.reporting.comparison`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.tables import csv_bytes
from gpu_coldstart.reporting.comparison import check, compare, names_of, pairing
from gpu_coldstart.reporting.comparison_page import comparison_sections, markdown
from gpu_coldstart.reporting.page import page
from gpu_coldstart.reporting.runs import load_run
from gpu_coldstart.runs.artifacts import write_atomically

__all__ = ["main"]

_HELP = """\
Compare finished runs with the first of them: precision, recall and NDCG of every strategy with
differences, intervals and tests; the settings that differ; the time of each stage.
"""

_ENDINGS = (".md", ".html", ".csv")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpu_coldstart.cli.compare",
        description=_HELP,
        epilog="exit status: 0 done, 2 a mistake in input or options",
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", type=Path, help="directory of a run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="also write it to a file: .md, .html, or .csv (every number in full)",
    )
    return parser


def _compare(paths: Sequence[Path], out: Path | None) -> str:
    """Compare, write what is asked for, and return the Markdown."""
    if out is not None and out.suffix not in _ENDINGS:
        raise UserError(f"--out {out} does not end in {', '.join(_ENDINGS)}: choose one of them")
    if len(paths) < 2:
        raise UserError("a comparison needs two runs or more: name their directories")
    runs = [load_run(path) for path in paths]
    check(runs)
    names = names_of(runs)
    pairings = [pairing(runs[0], run) for run in runs[1:]]
    table = compare(runs, pairings)
    sections = comparison_sections(runs, names, pairings, table)
    title = "Comparison of runs"
    text = markdown(title, sections)
    if out is not None:
        contents = {
            ".md": lambda: text.encode(),
            ".html": lambda: page(title, ", ".join(names), sections),
            ".csv": lambda: csv_bytes(table),
        }
        write_atomically(out, contents[out.suffix]())
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        text = _compare(options.runs, options.out)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main())
