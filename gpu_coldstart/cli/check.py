"""``gpu-coldstart check``: what is wrong with a data set, and what a run would do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpu_coldstart.cli import console, options

__all__ = ["HELP", "SHORT", "check"]

SHORT = "List every problem of a data set, and what a run would do with it."
HELP = """\
List every problem of the tables in DIR at once, each with its file, column, first row and remedy.
Where there is none, say what a run would do: cohorts, dates, sizes, what is missing and what that
means.

Exit status: 0 sound, 2 not.
"""


def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=options.expanded, help="Directory of tables.")
    ],
    *,
    assignments: Annotated[
        list[str] | None,
        options.text(
            "--set", "KEY=VALUE", "A setting, for instance split.truth_days=14; may be repeated."
        ),
    ] = None,
) -> int:
    """Check a directory; returns the exit status."""
    from gpu_coldstart.config.resolve import resolve
    from gpu_coldstart.engine import choose
    from gpu_coldstart.runs.check import check_directory

    config = resolve(dataset="events", settings=options.assigned(assignments or []))
    report = check_directory(choose("cpu")[0], directory, config)
    console.write(report.text)
    return 0 if report.sound else 2
