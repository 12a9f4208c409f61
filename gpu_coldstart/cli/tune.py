"""``gpu-coldstart tune``: better settings of a part of the flow, by trials on validation users."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpu_coldstart import __version__
from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.run import configured, size_in_bytes
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.config.parameters import PRESETS
from gpu_coldstart.errors import UserError
from gpu_coldstart.registry import DATASETS, SPACES, STRATEGIES

if TYPE_CHECKING:
    from gpu_coldstart.config.base import Range
    from gpu_coldstart.config.parameters import Config
    from gpu_coldstart.tuning.components import Component

__all__ = ["EPILOG", "HELP", "SHORT", "tune"]

SHORT = "Search better settings of a strategy, a space or another part, on validation users."
HELP = """\
Search better settings of a part of the flow: of a strategy, a space, the model (mlp), segments or
features. Trials are judged by the NDCG@50 of the validation users; the test users stay unseen.

The first trial is of the settings as they are configured. A strategy that learns by epochs is
left when it does worse than the median of the trials before. The same command goes on where it was
interrupted, and with more --trials adds to those that are done.

Several parts get as many trials each, and are searched each by itself. DIR/best.toml has the best
of all: gpu-coldstart run --config DIR/best.toml.
"""
EPILOG = """\
\b
examples:
  gpu-coldstart tune gate dropoutnet-full --space tt-svd --trials 50
      two strategies, 50 trials each
  gpu-coldstart tune tt-svd --jobs 4
      a space, by the lists of semi in it, four trials at a time
  gpu-coldstart tune mlp --strategy full --only mlp.learning_rate,mlp.hidden
      some settings only, by the lists of another strategy

\b
exit status: 0 done, 2 a mistake in input or options, 130 interrupted or 143 terminated (the same
command goes on)
"""

_log = logging.getLogger(__name__)


_Parts = Annotated[
    list[str],
    typer.Argument(metavar="COMPONENT...", help="Strategies, spaces, models, segments, features."),
]
_Dataset = Annotated[
    str | None,
    options.choice("--dataset", DATASETS.names(), "Where tables come from (default: synthetic)."),
]
_Data = Annotated[str | None, options.text("--data", "DIR", "Directory of the tables.")]
_Preset = Annotated[str | None, options.choice("--preset", PRESETS, "Sizes (default: small).")]
_Space = Annotated[
    str | None,
    options.choice(
        "--space",
        SPACES.names(),
        "Space in which a part is judged that is none (default: the first).",
    ),
]
_Config = Annotated[Path | None, options.path("--config", "FILE.toml", "Settings to start from.")]
_Assignments = Annotated[
    list[str] | None,
    options.text("--set", "KEY=VALUE", "One setting to start from; may be repeated."),
]
_Seed = Annotated[
    str | None,
    options.text("--seed", "N", "Seed of every random choice, trials too (default: 0)."),
]
_Trials = Annotated[int, options.integer("--trials", "N", "Trials of each part (default: 50).")]
_Timeout = Annotated[
    int | None, options.integer("--timeout", "S", "Begin no trial after so many seconds.")
]
_Jobs = Annotated[
    int,
    options.integer("--jobs", "N", "Trials at a time, each in a process (default: 1)."),
]
_Strategy = Annotated[
    str | None,
    options.choice(
        "--strategy",
        STRATEGIES.names(),
        "Whose lists judge (default: a strategy its own, semi else).",
    ),
]
_Only = Annotated[str | None, options.text("--only", "KEY,KEY", "Search these settings alone.")]
_Ranges = Annotated[
    list[str] | None,
    options.text(
        "--range",
        "KEY=LOW:HIGH[:log]",
        "Where to search a number, in place of its own range; may be repeated.",
    ),
]
_Engine = Annotated[str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")]
_MemoryBudget = Annotated[
    str | None,
    options.text("--memory-budget", "SIZE", "Most GPU memory that each process uses."),
]
_Device = Annotated[int | None, options.device]
_Out = Annotated[
    Path | None,
    options.path("--out", "DIR", "Where to write (default: runs/tune-DATASET-PRESET)."),
]
_Overwrite = Annotated[
    bool, options.flag("--overwrite", "Start again, and replace what is in --out.")
]


def tune(
    context: typer.Context,
    *,
    parts: _Parts,
    dataset: _Dataset = None,
    data: _Data = None,
    preset: _Preset = None,
    space: _Space = None,
    config: _Config = None,
    assignments: _Assignments = None,
    seed: _Seed = None,
    trials: _Trials = 50,
    timeout: _Timeout = None,
    jobs: _Jobs = 1,
    strategy: _Strategy = None,
    only: _Only = None,
    ranges: _Ranges = None,
    engine: _Engine = "auto",
    memory_budget: _MemoryBudget = None,
    device: _Device = None,
    out: _Out = None,
    overwrite: _Overwrite = False,
) -> int:
    """Search, and report what stops the search; returns the exit status."""
    from gpu_coldstart import engine as engines
    from gpu_coldstart.runs.progress import Reporter
    from gpu_coldstart.tuning.search import Budget, search
    from gpu_coldstart.tuning.workers import Processor

    if not trials or not jobs:
        raise UserError("--trials and --jobs are to be at least 1")
    settings = options.assigned(assignments or [])
    named = {"dataset": dataset, "data": data, "preset": preset, "seed": seed, "spaces": space}
    settings |= {key: value for key, value in named.items() if value is not None}
    files = [config] if config else []
    wanted = configured(files, settings)
    components = _components(wanted, parts, strategy, ranges or [], only)
    place = out or Path("runs") / f"tune-{wanted.dataset}-{wanted.preset}"
    budget = Budget(trials, float("inf") if timeout is None else timeout, jobs)
    size = size_in_bytes(memory_budget)
    try:
        chosen, reason = engines.choose(engine, size, device)
        on_gpu = bool(chosen.device)
        reporting = Reporter(chosen, write=console.write, check=interruption.check)
        with enough_memory(chosen), reporting as reporter, interruption.work():
            reporter.say(f"gpu_coldstart {__version__}: {reason}")
            _log.info("command line: %s", context.obj)
            reporter.log_environment()
            search(
                wanted,
                components,
                chosen,
                place,
                reporter,
                budget=budget,
                processor=Processor(chosen.name, *((size, device) if on_gpu else ())),
                overwrite=overwrite,
                check=interruption.check,
            )
    except interruption.Interrupted as signal:
        how = " without --overwrite" if overwrite else ""
        console.warn(f"{signal}: the same command{how} continues from here")
        return signal.status
    return 0


def _components(
    config: Config,
    parts: Sequence[str],
    judge: str | None,
    ranges: Sequence[str],
    only: str | None,
) -> list[Component]:
    """The parts, and what is searched of each.

    Raises
    ------
    UserError
        For an unknown part or setting, or one that is not searched with the parts.
    """
    from gpu_coldstart.tuning.components import component

    given = dict(_range(text, config) for text in ranges)
    keys = _keys(only, config)
    components = [
        component(config, name, judge=judge, ranges=given, only=keys)
        for name in dict.fromkeys(parts)
    ]
    searched = {key for part in components for key in part.ranges}
    for key in (*keys, *given):
        if key not in searched:
            raise UserError(
                f"'{key}' is not searched with {', '.join(parts)}: name the component that it is "
                "of, and give --range where it has none of its own"
            )
    return components


def _keys(only: str | None, config: Config) -> list[str]:
    """Settings with commas between them.

    Raises
    ------
    UserError
        For one that is not known.
    """
    from gpu_coldstart.config.parameters import flat

    keys = [key.strip() for key in (only or "").split(",") if key.strip()]
    return [_known(key, flat(config)) for key in keys]


def _known(key: str, values: Mapping[str, Any]) -> str:
    from gpu_coldstart.config.problems import unknown

    if key not in values:
        raise UserError(unknown(key, values))
    return key


def _range(text: str, config: Config) -> tuple[str, Range]:
    """The setting and the range of ``--range KEY=LOW:HIGH[:log]``.

    Raises
    ------
    UserError
        When it is none, or the setting may not have such values.
    """
    from gpu_coldstart.config.base import Searched
    from gpu_coldstart.config.parameters import flat

    key, _, ends = text.partition("=")
    values = flat(config)
    kind = type(values[_known(key.strip(), values)])
    low, _, rest = ends.partition(":")
    high, _, scale = rest.partition(":")
    try:
        if kind not in (int, float) or scale not in ("", "log"):
            raise ValueError
        found = Searched(kind(low), kind(high), scale == "log")
    except ValueError:
        raise UserError(
            f"--range {text:.80} is no range of a number: write KEY=LOW:HIGH, or KEY=LOW:HIGH:log"
        ) from None
    if not found.low < found.high or (found.log and found.low <= 0):
        raise UserError(
            f"--range {text:.80} is empty, or by the logarithm of what has none: give LOW below "
            "HIGH, and above 0 with log"
        )
    for end in (found.low, found.high):
        configured([], {key.strip(): end})  # refuses what the setting may not be
    return key.strip(), found
