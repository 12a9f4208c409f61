"""One command at a time in a run directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.paths import LOCK

__all__ = ["locked"]

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory for this process.

    The lock is the kernel's, so it ends with the process however that ends. Folders that had to be
    made are removed again if nothing was written into them.

    Raises
    ------
    UserError
        When another process holds the directory, or it cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is not a directory: choose another place with --out")
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        handle = _acquire(directory)
        try:
            yield
        finally:
            # Before the lock goes, so that nobody loses a file they have just locked.
            with contextlib.suppress(OSError):
                (directory / LOCK).unlink()
            os.close(handle)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _acquire(directory: Path) -> int:
    """Lock the file; returns its descriptor."""
    path = directory / LOCK
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(
                f"{directory} cannot be written ({error.strerror}): choose another place with --out"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(handle)
            os.close(handle)
            if error.errno in _BUSY:
                raise UserError(
                    f"{directory} is in use by another run ({holder}): wait for it, or choose "
                    "another place with --out"
                ) from None
            raise UserError(
                f"{path} cannot be locked ({error.strerror}): choose a place on another file "
                "system with --out"
            ) from error
        if _is_at(handle, path):
            break
        os.close(handle)  # removed by its holder between our opening and our locking it
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(who).encode(), 0)
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _holder(handle: int) -> str:
    """Who holds the lock, as they wrote down."""
    try:
        who = json.loads(os.pread(handle, 4096, 0))
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (ValueError, TypeError, KeyError, OSError):
        return "it has not said which"  # between locking and writing
