"""The command ``gpu-coldstart``: what all its subcommands share.

The libraries of a subcommand are imported when it starts to work, not for ``--help``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gpu_coldstart.cli import console, interruption

__all__ = ["main"]


def main(
    arguments: Sequence[str] | None = None, *, command: str = "", name: str = "gpu-coldstart"
) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The process's own by default; then the command owns the process: it sets up the streams,
        keeps its signal handlers to the very end, and draws to files whatever way to show figures
        a notebook that calls it has left in the environment.
    command : str
        The subcommand to run; by default the first argument names it.
    name : str
        What ``--help`` calls the command.

    Returns
    -------
    int
        The exit status: 0, or 2 for a mistake in input or options, 3 for a refresh whose model is
        worse, 130 or 143 after a signal, 141 if the reader of the output has gone.
    """
    handlers = interruption.install()
    if arguments is None:
        console.open_streams()
        os.environ.pop("MPLBACKEND", None)
        return _run(sys.argv[1:], command, name)
    try:
        return _run(arguments, command, name)
    finally:
        interruption.restore(handlers)


def _run(arguments: Sequence[str], command: str, name: str) -> int:
    try:
        from gpu_coldstart.cli.app import dispatch

        status = dispatch(arguments, command, name)
        sys.stdout.flush()
    except BrokenPipeError:
        console.mute()
        return console.BROKEN_PIPE
    except interruption.Interrupted as signal:
        console.warn(str(signal))
        return signal.status
    return status


if __name__ == "__main__":
    sys.exit(main())
