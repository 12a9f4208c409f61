"""Write a data set's Parquet files: all of them or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.errors import UserError

__all__ = ["table_writers", "targets", "write_files"]


def table_writers(tables: Mapping[str, pa.Table]) -> dict[str, Callable[[IO[bytes]], None]]:
    """What writes each table as Parquet, for :func:`write_files`."""
    return {
        name: partial(pq.write_table, table, compression="zstd") for name, table in tables.items()
    }


def write_files(
    writers: Mapping[str, Callable[[IO[bytes]], None]], out: Path, *, force: bool = False
) -> None:
    """Write each file ``<out>/<name>.parquet``: all of them or none.

    All files are written and synced under temporary names before the first takes its own, so
    that a full disk or a kill while writing leaves the files that were there.

    Parameters
    ----------
    writers : dict of str to callable
        What writes the content into an open file, by name.
    out : pathlib.Path
        Folder, made if it is not there.
    force : bool
        Whether to replace files that are there.

    Raises
    ------
    UserError
        If a file is there and `force` is false, or the folder cannot be written.
    """
    places = targets(writers, out, force=force)
    staged: list[tuple[Path, Path]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            staged.append((_stage(write, out, name), places[name]))
        for temporary, target in staged:
            temporary.replace(target)
        _sync(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write to the folder {out}: {reason}") from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def targets(names: Iterable[str], out: Path, *, force: bool) -> dict[str, Path]:
    """Where each file goes.

    Raises
    ------
    UserError
        If one is there and `force` is false.
    """
    places = {name: out / f"{name}.parquet" for name in names}
    there = [path for path in places.values() if path.exists()]
    if there and not force:
        raise UserError(f"{there[0]} is there already: name another folder or add --force")
    return places


def _stage(write: Callable[[IO[bytes]], None], out: Path, name: str) -> Path:
    """Write a file under a temporary name in `out`, down to the disk; returns the name."""
    handle, path = tempfile.mkstemp(prefix=f".{name}-", suffix=".tmp", dir=out)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # Private until here; now as open as any file that the user makes.
        mask = os.umask(0)
        os.umask(mask)
        Path(path).chmod(0o666 & ~mask)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return Path(path)


def _sync(folder: Path) -> None:
    """Bring the new names in `folder` to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
