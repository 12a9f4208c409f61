"""Whether a process may take the memory that the libraries need, asked before they are imported.

Where a limit (``ulimit -v``) leaves them too little, they do not just fail: OpenBLAS waits forever
for a buffer, OpenMP ends the process, and shared objects cannot be mapped.
"""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gpu_coldstart.errors import UserError

__all__ = ["with_room"]

P = ParamSpec("P")
T = TypeVar("T")

_LIBRARIES = 3 << 30
_THREAD = 1 << 27
"""Bytes of address space that the libraries take, and that each of their threads takes."""


def with_room(command: Callable[P, T]) -> Callable[P, T]:
    """Let a command begin only where the address space suffices for the libraries.

    Raises
    ------
    UserError
        From the command, before it does anything.
    """

    @functools.wraps(command)
    def checked(*arguments: P.args, **options: P.kwargs) -> T:
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        threads = _threads()
        needed = _LIBRARIES + threads * _THREAD
        if limit != resource.RLIM_INFINITY and limit < needed:
            raise UserError(
                f"the address space is limited to {limit / (1 << 30):.1f} GB, and the libraries "
                f"with {threads} threads need {needed / (1 << 30):.1f} GB: raise the limit (ulimit "
                "-v), or set OMP_NUM_THREADS lower"
            )
        return command(*arguments, **options)

    return checked


def _threads() -> int:
    """The threads that each library will start."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else len(os.sched_getaffinity(0))
