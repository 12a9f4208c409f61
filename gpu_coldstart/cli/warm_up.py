"""``gpu-coldstart warm-up``: what is compiled at first use, compiled beforehand."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.registry import DATASETS, STRATEGIES

__all__ = ["HELP", "SHORT", "warm_up"]

SHORT = "Compile beforehand what a first run would have to compile."
HELP = """\
Compile everything that an engine compiles at first use, so that the first run need not.

On a GPU, these are the kernels, for the card at hand; on the CPU, loops. Then a very small run on a
made-up world, which is not kept, does the same for the libraries. The last lines say where the
compiled code is kept. To do it again does no harm, and takes seconds.
"""


def warm_up(
    *,
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
) -> None:
    """Compile, do the small run, and say where the compiled code is."""
    from gpu_coldstart.config.parameters import Config, flat
    from gpu_coldstart.config.resolve import resolve
    from gpu_coldstart.engine import choose, compiling
    from gpu_coldstart.runs.pipeline import Pipeline
    from gpu_coldstart.runs.progress import Reporter

    # An epoch compiles what forty do.
    short = {key: 1 for key in flat(Config()) if "epochs" in key}
    names = {"preset": "tiny", "strategies.names": list(STRATEGIES.builtin)}
    config = resolve(settings=names | short)
    with (
        tempfile.TemporaryDirectory(prefix="gpu-coldstart-warm-up-") as folder,
        compiling(Path(folder)),
    ):
        chosen, reason = choose(engine, device=device)
        console.write(reason)
        with (
            enough_memory(chosen),
            interruption.work(),
            Reporter(chosen, write=console.write, check=interruption.check) as reporter,
        ):
            for what in chosen.compile():
                reporter.say(f"compiled: {what}")
                interruption.check()
            dataset = DATASETS.get(config.dataset).open(config)
            pipeline = Pipeline(chosen, config, Path(folder) / "run", reporter, dataset)
            pipeline.open(resume=False, overwrite=False)
            pipeline.run()
    for place in chosen.caches():
        console.write(f"compiled code is kept in {place}")
