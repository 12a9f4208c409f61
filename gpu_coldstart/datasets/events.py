"""Your own logs: a directory of tables that keeps to the data contract."""

from __future__ import annotations

from pathlib import Path

from gpu_coldstart.data.contract import REQUIRED, SCHEMAS
from gpu_coldstart.data.files import is_there
from gpu_coldstart.data.tables import Source, contents
from gpu_coldstart.errors import UserError

__all__ = ["files", "source", "tables"]


def source(directory: Path) -> Source:
    """The tables in a directory.

    Parameters
    ----------
    directory : Path
        Holds ``users``, ``tracks``, ``interactions`` and, if there are any, ``playlists`` and
        ``sound``, each as ``NAME.parquet``, a directory ``NAME`` of part files, or
        ``NAME.csv``. See :class:`gpu_coldstart.data.tables.Tables`.

    Returns
    -------
    Source
        The paths; nothing is read yet.

    Raises
    ------
    UserError
        When the directory or one of the three tables is missing, or there are two of one.
    """
    paths = tables(directory)
    for name in REQUIRED:
        if name not in paths:
            raise UserError(
                f"{directory / name}.parquet does not exist: it should be a Parquet file with "
                f"{contents(name)} (or a directory {name} of such files, or {name}.csv)"
            )
    return paths


def tables(directory: Path) -> dict[str, Path]:
    """Where each table is, for those that are there.

    Raises
    ------
    UserError
        When the directory is missing or cannot be read, or there are two of a table.
    """
    there = is_there(directory)
    if not (there and directory.is_dir()):
        problem = "is a file, not a directory" if there else "does not exist"
        files = ", ".join(f"{name}.parquet" for name in REQUIRED)
        raise UserError(f"{directory} {problem}: name the directory that holds {files}")
    paths = {name: _table(directory, name) for name in SCHEMAS}
    return {name: path for name, path in paths.items() if path is not None}


def _table(directory: Path, name: str) -> Path | None:
    """Where a table is; None for nowhere."""
    forms = (f"{name}.parquet", name, f"{name}.csv")
    there = [path for path in (directory / form for form in forms) if is_there(path)]
    if len(there) > 1:
        raise UserError(f"{there[0]} and {there[1]} are both there: keep one of them")
    return there[0] if there else None


def files(directory: Path) -> dict[str, Path]:
    """The files of :func:`source`, by name.

    Raises
    ------
    UserError
        When the directory or one of the three files is missing.
    """
    opened = source(directory)
    return {path.name: path for path in opened.values() if isinstance(path, Path)}
