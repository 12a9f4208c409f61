"""``gpu-coldstart export``: what a finished run learned, as a bundle to serve from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.registry import SPACES

__all__ = ["HELP", "SHORT", "export"]

_FORMATS = ("bundle", "triton")

SHORT = "Make a bundle of a finished run."
HELP = """\
Make a bundle (what ColdStart.save writes) of a finished run, without learning anything again.

The bundle recommends what the run did, to anyone, and tells in bundle.json and MODEL_CARD.md how
good that was for the run's test users. A bundle that is there already is replaced.

With --format triton, make a model repository of its networks for NVIDIA's Triton Inference Server.
"""


def export(
    *,
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", parser=options.expanded, help="Directory of the run."),
    ],
    out: Annotated[Path, options.path("--out", "DIR", "Where to write.")],
    space: Annotated[
        str | None,
        options.choice("--space", SPACES.names(), "Embedding space (default: the run's first)."),
    ] = None,
    form: Annotated[
        str,
        options.choice("--format", _FORMATS, "What to write (default: bundle)."),
    ] = "bundle",
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
) -> None:
    """Read the run and write the bundle, or the repository."""
    from gpu_coldstart.coldstart import ColdStart
    from gpu_coldstart.engine import choose
    from gpu_coldstart.serving import triton

    chosen, reason = choose(engine, device=device)
    console.write(reason)
    with enough_memory(chosen, "free some memory"), interruption.work():
        model = ColdStart.from_run(run, space=space, engine=chosen)
        if form == "triton":
            triton.write(out, triton.repository(chosen, model.fitted))
        else:
            model.save(out)
    console.write(f"{run}, {model.fitted.model.space}: written to {out}")
