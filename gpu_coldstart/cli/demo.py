"""``gpu-coldstart demo``: a model of the synthetic world in service, with a page to try it on."""

from __future__ import annotations

import socket
import tempfile
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.errors import UserError

__all__ = ["HELP", "SHORT", "demo"]

SHORT = "Try the service on a built-in synthetic world."
HELP = """\
Try the service on a built-in synthetic world.

This makes up a streaming service with its users and their logs, learns from them, and serves the
model until Ctrl-C: at the printed address is a page on which to be a newcomer. What it writes goes
to a temporary folder, which is removed at the end.
"""

_HOST = "127.0.0.1"
_PRESETS = ("tiny", "small")
_EVERY_S = 2.0
"""Seconds between lines of progress."""


def demo(
    *,
    port: Annotated[
        int, options.integer("--port", "N", "Port (default: 8000; 0 for any free one).")
    ] = 8000,
    preset: Annotated[
        str,
        options.choice(
            "--preset",
            _PRESETS,
            "Size of the world: tiny is there in seconds, small (default) in about a minute.",
        ),
    ] = "small",
    browse: Annotated[bool, options.flag("--open", "Open the page in a browser.")] = False,
) -> None:
    """Make the world, learn, and serve until a signal comes."""
    from gpu_coldstart.service import server
    from gpu_coldstart.service.settings import Settings

    _check_port(port)

    def ready(line: str) -> None:
        address = line.split()[-1]
        console.write(f"the page is at {address}/ - Ctrl-C ends it")
        if browse:
            webbrowser.open(address)

    # Whenever a signal comes, the folder is removed.
    with interruption.work(), tempfile.TemporaryDirectory(prefix="gpu-coldstart-demo-") as folder:
        bundle = Path(folder) / "bundle"
        with enough_memory():
            _learn(preset, bundle)
        interruption.check()  # of a signal that a library kept to itself
        server.serve(Settings(bundle, host=_HOST, port=port, deadline_s=30), ready)


def _check_port(port: int) -> None:
    """Refuse a port before all the learning, not after it."""
    try:
        socket.create_server((_HOST, port)).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on port {port}: {reason}; choose another --port, or 0 for any"
        ) from error


def _learn(preset: str, bundle: Path) -> None:
    """Make the world, and save a model of it."""
    from gpu_coldstart import ColdStart, Dataset
    from gpu_coldstart.datasets.synthetic import frames
    from gpu_coldstart.datasets.synthetic.names import named

    console.write(f"making up a streaming service ({preset}) ...")
    world = named(frames(preset))
    size = f"{world['users'].num_rows} users and {world['tracks'].num_rows} tracks"
    console.write(f"learning from {size} ...")
    model = ColdStart(preset=preset, engine="cpu", seed=0)
    model.fit(Dataset.from_frames(**world), _progress()).save(bundle)


def _progress() -> Callable[[int, int, str], None]:
    """Prints now and then what the model is learning."""
    begun = last = time.monotonic()

    def progress(done: int, total: int, status: str) -> None:
        nonlocal last
        interruption.check()
        now = time.monotonic()
        if now - last >= _EVERY_S:
            last = now
            console.write(f"{now - begun:5.0f} s  {done} of {total}: {status}")

    return progress
