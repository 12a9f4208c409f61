"""``gpu-coldstart refresh``: a bundle made anew on newer logs, if that is no worse."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.run import configured
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.registry import DATASETS

__all__ = ["EPILOG", "HELP", "SHORT", "refresh"]

SHORT = "Fit a saved model anew on newer logs, and put it in service if it is no worse."
HELP = """\
Do a run on newer logs with the settings of a bundle in service, let both models recommend to the
run's test users, and replace the bundle if the new model is no worse: its mean NDCG is at least as
high, or a paired test at 5 % does not find it lower. The old bundle is kept as BUNDLE.previous.
"""
EPILOG = """\
exit status: 0 replaced, 2 a mistake in input or options, 3 the new model is worse and the bundle is
as it was; with --dry-run, 0 and 3 tell what would have been done
"""


def refresh(
    *,
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", parser=options.expanded, help="Directory of the model."),
    ],
    dataset: Annotated[
        str | None,
        options.choice(
            "--dataset", DATASETS.names(), "Where tables come from (default: as the bundle's)."
        ),
    ] = None,
    data: Annotated[
        str | None, options.text("--data", "DIR", "Directory of the new logs' tables.")
    ] = None,
    config: Annotated[
        Path | None, options.path("--config", "FILE.toml", "Settings in place of the bundle's.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        options.text(
            "--set", "KEY=VALUE", "One setting in place of the bundle's; may be repeated."
        ),
    ] = None,
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
    out: Annotated[
        Path | None,
        options.path("--out", "DIR", "Where the run is written (default: runs/refresh-TIME)."),
    ] = None,
    dry_run: Annotated[
        bool, options.flag("--dry-run", "Run and compare, but leave the bundle as it is.")
    ] = False,
) -> int:
    """Run, compare, and replace the bundle if that is right; returns the exit status."""
    from gpu_coldstart.coldstart import ColdStart
    from gpu_coldstart.engine import choose
    from gpu_coldstart.run import run
    from gpu_coldstart.runs.progress import Reporter
    from gpu_coldstart.serving import bundle as bundles
    from gpu_coldstart.serving.model import CONFIG
    from gpu_coldstart.serving.refresh import judge

    place = out or Path("runs") / f"refresh-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    made = place / "bundle"
    chosen, reason = choose(engine, device=device)
    with enough_memory(chosen), interruption.work():
        service = ColdStart.load(bundle, engine=chosen)
        named = {"dataset": dataset, "data": data}
        settings = options.assigned(assignments or [])
        settings |= {key: value for key, value in named.items() if value is not None}
        files = [bundle / CONFIG, *([config] if config else [])]
        with Reporter(chosen, write=console.write, check=interruption.check) as reporter:
            reporter.say(reason)
            reporter.log_environment()
            run(configured(files, settings), chosen, place, reporter, resume=False)
        ColdStart.from_run(place, engine=chosen).save(made)
        verdict = judge(chosen, place, ColdStart.load(made, engine=chosen), service)
        if not (verdict.worse or dry_run):
            about, content = bundles.read(made)
            bundles.write(bundle, content, about, keep=True)
    console.write(_told(bundle, made, dry_run=dry_run, worse=verdict.worse) + f": {verdict}")
    return console.REFUSED if verdict.worse else 0


def _told(bundle: Path, made: Path, *, dry_run: bool, worse: bool) -> str:
    """What became of the bundle, in words."""
    if worse:
        return f"{bundle} stays in service, as the model in {made} is worse"
    if dry_run:
        return f"{bundle} would be replaced by {made}, which is no worse"
    return f"{bundle} is replaced by {made}, which is no worse"
