"""``gpu-coldstart benchmark``: all strategies on several data sets with several seeds.

What the page says, and how it is found: :mod:`gpu_coldstart.reporting.benchmark`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.run import configured
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.errors import UserError, nearest
from gpu_coldstart.registry import BOTH, DATASETS, SPACES, STRATEGIES
from gpu_coldstart.runs.names import visible

if TYPE_CHECKING:
    from gpu_coldstart.config.parameters import Config
    from gpu_coldstart.engine import Engine
    from gpu_coldstart.reporting.benchmark import Entry

__all__ = ["EPILOG", "HELP", "SHORT", "benchmark", "data_set"]

SHORT = "Compare all strategies on several data sets with several seeds."
HELP = """\
Do a run for each data set and each seed, and put every strategy's quality into one table, with
intervals, paired tests and a plot of mean ranks with their critical difference. The same command
goes on where it was interrupted; with other settings, only what depends on them is made again.
"""
EPILOG = f"""\
\b
a data set is NAME, NAME:PRESET or, where it takes files, NAME:DIR; names:
  {", ".join(DATASETS.names())}

\b
examples:
  gpu-coldstart benchmark synthetic:small tafeng
      two data sets, both spaces, every strategy, five seeds
  gpu-coldstart benchmark events:logs/2026 --strategies popularity,semi,best --seeds 0,1,2
      your own logs

\b
written: benchmark.html, benchmark.md, benchmark.csv (every number), pairs.csv (every pair of
strategies), figures/, and the runs in runs/
"""


def benchmark(
    *,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA...", help="Data sets: NAME, NAME:PRESET or NAME:DIR."),
    ] = None,
    seeds: Annotated[
        Any, options.integers("--seeds", "N,N", "Seeds of the runs (default: 0,1,2,3,4).")
    ] = None,
    space: Annotated[
        str, options.choice("--space", (*SPACES.names(), "both"), "Space (default: both).")
    ] = "both",
    strategies: Annotated[
        str | None, options.text("--strategies", "A,B", "Ways to recommend (default: every one).")
    ] = None,
    k: Annotated[str | None, options.text("--k", "K,K", "List lengths (default: 50).")] = None,
    config: Annotated[
        Path | None, options.path("--config", "FILE.toml", "Settings of all runs.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        options.text("--set", "KEY=VALUE", "One setting of all runs; may be repeated."),
    ] = None,
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
    out: Annotated[
        Path, options.path("--out", "DIR", "Where to write (default: runs/benchmark).")
    ] = Path("runs/benchmark"),
) -> int:
    """Do what runs are missing, and write the comparison; returns the exit status."""
    from gpu_coldstart.engine import choose

    # Nobody asked for the runs' own reports.
    settings: dict[str, Any] = {"evaluation.analysis": False, "evaluation.figures": False}
    settings |= options.assigned(assignments or []) | {
        "spaces": list(BOTH) if space == "both" else [space],
        "strategies.names": strategies or ",".join(STRATEGIES.names()),
    }
    if k:
        settings["evaluation.k"] = k
    files = [config] if config else []
    wanted = dict(_wanted(data or [], seeds or (0, 1, 2, 3, 4), files, settings))
    chosen, reason = choose(engine, device=device)
    console.write(reason)
    try:
        with enough_memory(chosen), interruption.work():
            text = _written(out, [*_entries(wanted, chosen, out / "runs")])
    except interruption.Interrupted as signal:
        console.warn(f"{signal}: the same command continues from here")
        return signal.status
    console.write(f"\n{text}\nwritten to {out}: benchmark.html, benchmark.md, benchmark.csv, ...")
    return 0


def _wanted(
    data: Sequence[str], seeds: Sequence[int], files: Sequence[Path], settings: dict[str, Any]
) -> Iterator[tuple[str, list[Config]]]:
    """Each data set's name with the configurations of its runs, all of them valid."""
    if not data:
        raise UserError("a benchmark needs a data set or more: name, for instance, synthetic:small")
    known = set[str]()
    for each in data:
        own = data_set(each)
        configs = [configured(files, settings | own | {"seed": seed}) for seed in seeds]
        kind = Path(own["data"]).resolve().name if "data" in own else configs[0].preset
        name = visible(f"{own['dataset']}-{kind}")
        if name in known:
            raise UserError(f"two data sets would be called {name}: rename a directory")
        known.add(name)
        yield name, configs


def data_set(text: str) -> dict[str, Any]:
    """The settings of a data set that is written ``NAME``, ``NAME:PRESET`` or ``NAME:DIR``.

    Raises
    ------
    UserError
        For one that there is not, or that lacks its directory.
    """
    dataset, _, rest = text.partition(":")
    if dataset not in DATASETS.names():
        raise UserError(f"there is no data set {dataset!r}: {nearest(dataset, DATASETS.names())}")
    needed = DATASETS.get(dataset).needs_data
    if needed and not rest:
        raise UserError(f"{dataset} needs {needed}: write {dataset}:DIR")
    return {"dataset": dataset} | ({"data" if needed else "preset": rest} if rest else {})


def _entries(wanted: dict[str, list[Config]], engine: Engine, place: Path) -> Iterator[Entry]:
    """The runs of each data set, done where they are not yet."""
    from gpu_coldstart.reporting.benchmark import Entry
    from gpu_coldstart.reporting.runs import load_run
    from gpu_coldstart.run import run
    from gpu_coldstart.runs.progress import Reporter

    for name, configs in wanted.items():
        runs = []
        for config in configs:
            out = place / f"{name}-{config.seed}"
            console.write(f"\n{name}, seed {config.seed}")
            with Reporter(engine, write=console.write, check=interruption.check) as reporter:
                reporter.log_environment()
                run(config, engine, out, reporter, resume=True)
            runs.append(load_run(out))
        yield Entry(name, runs)


def _written(out: Path, entries: Sequence[Entry]) -> str:
    """Write the comparison; returns it as Markdown."""
    from gpu_coldstart.reporting.benchmark import benchmark, table_of
    from gpu_coldstart.reporting.benchmark_page import benchmark_sections
    from gpu_coldstart.reporting.comparison_page import markdown
    from gpu_coldstart.reporting.drawn import draw
    from gpu_coldstart.reporting.page import page
    from gpu_coldstart.runs.artifacts import write_atomically
    from gpu_coldstart.runs.tables import csv_bytes

    quality, pairs = benchmark(entries)
    drawn = draw({"benchmark": table_of(quality)})["benchmark"]
    sections = benchmark_sections(entries, quality, drawn)
    title, names = "Benchmark", ", ".join(entry.data for entry in entries)
    text = markdown(title, sections)
    files = {
        "benchmark.csv": csv_bytes(table_of(quality)),
        "pairs.csv": csv_bytes(table_of(pairs)),
        "benchmark.md": text.encode(),
        "benchmark.html": page(title, names, sections, beside=["benchmark.csv", "pairs.csv"]),
    }
    for figure in drawn:
        files |= figure.files
    for name, content in files.items():
        write_atomically(out / name, content)
    return text
