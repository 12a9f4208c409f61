"""Files opened only if they are files: a pipe would wait for its writer, a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_regular", "open_arrow", "read_bytes"]


def check_regular(path: Path) -> None:
    """Refuse what is there and is neither a file nor a directory.

    Raises
    ------
    OSError
        When it is a pipe, socket or device, or nothing can be said of it.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a file", str(path))


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises
    ------
    OSError
        When it cannot be read, or is no file.
    """
    check_regular(path)
    return path.read_bytes()


def open_arrow(path: Path) -> pa.NativeFile:
    """A file for Arrow to read; a path it would take itself only if that is UTF-8.

    Raises
    ------
    OSError
        When it cannot be read, or is no file.
    """
    import pyarrow as pa

    check_regular(path)
    return pa.OSFile(os.fsencode(path))
