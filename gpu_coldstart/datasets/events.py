"""Your own logs: a directory of Parquet files that keeps to the data contract."""

from __future__ import annotations

from pathlib import Path

from gpu_coldstart.data.tables import Source, contents
from gpu_coldstart.errors import UserError

__all__ = ["files", "source"]

_REQUIRED = ("users", "tracks", "interactions")


def source(directory: Path) -> Source:
    """The tables in a directory of Parquet files.

    Parameters
    ----------
    directory : Path
        Holds ``users.parquet``, ``tracks.parquet``, ``interactions.parquet`` and, if there are
        playlists, ``playlists.parquet``. See :class:`gpu_coldstart.data.tables.Tables`.

    Returns
    -------
    Source
        The files' paths; nothing is read yet.

    Raises
    ------
    UserError
        When the directory or one of the three files is missing.
    """
    if not directory.is_dir():
        problem = "is a file, not a directory" if directory.exists() else "does not exist"
        files = ", ".join(f"{name}.parquet" for name in _REQUIRED)
        raise UserError(f"{directory} {problem}: name the directory that holds {files}")
    paths = {name: directory / f"{name}.parquet" for name in (*_REQUIRED, "playlists")}
    for name in _REQUIRED:
        if not paths[name].exists():
            raise UserError(
                f"{paths[name]} does not exist: it should be a Parquet file with {contents(name)}"
            )
    if not paths["playlists"].exists():
        del paths["playlists"]
    return paths


def files(directory: Path) -> dict[str, Path]:
    """The files of :func:`source`, by name.

    Raises
    ------
    UserError
        When the directory or one of the three files is missing.
    """
    opened = source(directory)
    return {path.name: path for path in opened.values() if isinstance(path, Path)}
