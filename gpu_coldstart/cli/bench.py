"""``gpu-coldstart bench``: the benchmarks, where the checkout has them."""

from __future__ import annotations

import importlib.util

import typer

from gpu_coldstart.errors import UserError

__all__ = ["HELP", "SHORT", "bench"]

SHORT = "Benchmark parts of the flow against other libraries."
HELP = "Benchmark this project and its alternatives on the same work (in a checkout only)."


def bench(context: typer.Context) -> int:
    """Pass the arguments on to ``python -m bench``; returns its exit status."""
    if importlib.util.find_spec("bench") is None:
        raise UserError(
            "the benchmarks are not installed: run this in a checkout of the project, or add the "
            "checkout to PYTHONPATH"
        )
    from bench.__main__ import main

    try:
        return main(context.args)
    except SystemExit as stop:  # its parser's, after --help or a wrong option
        return int(stop.code or 0)
