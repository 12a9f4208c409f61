"""``gpu-coldstart compare``: finished runs side by side, with tests of whether they differ.

What is compared, and how: :mod:`gpu_coldstart.reporting.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.errors import UserError

__all__ = ["HELP", "SHORT", "compare"]

SHORT = "Compare finished runs."
HELP = """\
Compare finished runs with the first of them: precision (of min(K, truth)), recall and NDCG of every
strategy with differences, intervals and tests; the settings that differ; the time of each stage.
"""

_ENDINGS = (".md", ".html", ".csv")


def compare(
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...", parser=options.expanded, help="Directories of two runs or more."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        options.path(
            "--out",
            "FILE",
            "Also write it to a file: .md, .html, or .csv (every number in full).",
        ),
    ] = None,
) -> None:
    """Print the comparison, and write it where asked."""
    console.write(_compare(runs or [], out).removesuffix("\n"))


def _compare(paths: Sequence[Path], out: Path | None) -> str:
    """Compare, write what is asked for, and return the Markdown."""
    if out is not None and out.suffix not in _ENDINGS:
        raise UserError(f"--out {out} does not end in {', '.join(_ENDINGS)}: choose one of them")
    if len(paths) < 2:
        raise UserError("a comparison needs two runs or more: name their directories")
    from gpu_coldstart.reporting.comparison import check, compare, names_of, pairing
    from gpu_coldstart.reporting.comparison_page import comparison_sections, markdown
    from gpu_coldstart.reporting.comparison_verdict import comparison_verdict
    from gpu_coldstart.reporting.glossary import terms
    from gpu_coldstart.reporting.page import page
    from gpu_coldstart.reporting.runs import load_run
    from gpu_coldstart.runs.artifacts import write_atomically
    from gpu_coldstart.runs.tables import csv_bytes

    runs = [load_run(path) for path in paths]
    check(runs)
    names = names_of(runs)
    pairings = [pairing(runs[0], run) for run in runs[1:]]
    table = compare(runs, pairings)
    verdict, title = comparison_verdict(names, table), "Comparison of runs"
    text = markdown(title, comparison_sections(runs, names, pairings, table), verdict)

    def html() -> bytes:
        from gpu_coldstart.reporting.drawn import draw  # it takes a second, as Matplotlib does

        pictures = [replace(each.picture, files=()) for each in draw({"runs": table})["runs"]]
        known = terms(dict.fromkeys(table["strategy"]), dict.fromkeys(table["space"]))
        lead = ", ".join(names)
        sections = comparison_sections(runs, names, pairings, table, pictures)
        return page(title, lead, sections, verdict=verdict, terms=known)

    if out is not None:
        contents: dict[str, Callable[[], bytes]] = {
            ".md": text.encode,
            ".html": html,
            ".csv": lambda: csv_bytes(table),
        }
        with interruption.work():
            write_atomically(out, contents[out.suffix]())
    return text
