"""Ctrl-C and SIGTERM, from the first import to the end of the process.

While modules are imported, an exception raised by a signal may surface as an ``ImportError`` of
some library, or not at all, and there is nothing to clean up: the process says one line and ends at
once. While a command works (:func:`work`), the signal raises :class:`Interrupted`, so that files
half written are removed and the log tells what happened; a second signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "check", "install", "restore", "work"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

_pending: signal.Signals | None = None


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to stop.

    Attributes
    ----------
    number : signal.Signals
    status : int
        The exit status a shell expects: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, number: signal.Signals):
        super().__init__(_WORDS[number])
        self.number = number
        self.status = 128 + number


def install() -> dict[signal.Signals, Any]:
    """Let either signal end the process at once, with one line and status 130 or 143.

    A signal that the parent had ignored (``nohup``, a shell's background job) stays ignored.

    Returns
    -------
    dict of signal to handler
        The former handlers, for :func:`restore`; empty outside the main thread, where Python
        allows no handlers.
    """
    return _handle(_end)


def restore(handlers: dict[signal.Signals, Any]) -> None:
    """Put former handlers back."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def work() -> Iterator[None]:
    """Let the first signal raise :class:`Interrupted` in the main thread.

    A library that swallows the exception, or turns it into one of its own, only delays it:
    :func:`check` raises it again, and so does the end of the block if an exception leaves it.
    """
    global _pending
    _pending = None
    handlers = _handle(_raise)
    try:
        yield
        check()
    except Interrupted:
        raise
    except KeyboardInterrupt as error:  # of a library with a handler of its own
        raise Interrupted(signal.SIGINT) from error
    except Exception as error:
        if _pending is not None:
            raise Interrupted(_pending) from error
        raise
    finally:
        restore(handlers)
        _pending = None


def check() -> None:
    """Raise :class:`Interrupted` if a signal has come."""
    if _pending is not None:
        raise Interrupted(_pending)


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    former = {number: old for number, old in former.items() if old is not signal.SIG_IGN}
    for number in former:
        signal.signal(number, handler)
    return former


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a stream that is closed, or in the middle of a write
            stream.flush()
    with suppress(OSError):
        os.write(2, f"{_WORDS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    global _pending
    if _pending is not None:
        _end(number, frame)
    _pending = signal.Signals(number)
    raise Interrupted(_pending)
