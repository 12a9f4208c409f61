"""Output to a terminal, a pipe or nothing, and the exit statuses of every command."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from gpu_coldstart.runs.names import printable

__all__ = ["BROKEN_PIPE", "MISTAKE", "REFUSED", "complain", "mute", "open_streams", "warn", "write"]

MISTAKE = 2
"""Exit status of a mistake in input or options."""

REFUSED = 3
"""Exit status of a refresh whose new model is worse than the one in service."""

BROKEN_PIPE = 141
"""Exit status when the reader of the output has gone, as the shell reports SIGPIPE."""

_ERRORS = "gpu-coldstart-output"


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode one character: the byte of a file name that is not UTF-8, or else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    byte = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else b"?"
    return byte, error.start + 1


codecs.register_error(_ERRORS, _escape)


def open_streams() -> None:
    """Make stdout and stderr writable whatever the parent left.

    A descriptor closed at the start becomes /dev/null, so that no file opened later takes its
    number. Characters that the encoding lacks are replaced; names that are not UTF-8 keep their
    bytes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def write(text: str, stream: TextIO | None = None) -> None:
    """Print lines at once, to stdout by default; control characters become visible signs.

    Raises
    ------
    BrokenPipeError
        If the reader has gone.
    """
    stream = sys.stdout if stream is None else stream
    encoding = stream.encoding or "utf-8"
    text = printable(text)
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != _ERRORS:
        text = text.encode(encoding, "replace").decode(encoding)  # ascii has no ±
    stream.write(text + "\n")
    stream.flush()


def complain(sentence: str) -> int:
    """Print ``error: sentence`` on stderr, in one line; returns the exit status of a mistake."""
    warn(f"error: {sentence}")
    return MISTAKE


def warn(sentence: str) -> None:
    """Print a sentence on stderr, in one line; nowhere if nobody reads it."""
    with suppress(OSError):
        write(" ".join(sentence.split("\n")), sys.stderr)


def mute() -> None:
    """Send what is still to be printed nowhere: the flush at exit would complain otherwise."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            number = stream.fileno()
            try:
                stream.flush()
            except OSError:
                os.dup2(null, number)
    os.close(null)
