"""Make data sets that the flow reads: ``python -m gpu_coldstart.datasets``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from gpu_coldstart.errors import UserError

__all__ = ["main", "write_files", "write_tables"]


def write_tables(tables: dict[str, pa.Table], out: Path, *, force: bool = False) -> None:
    """Write each table to ``<out>/<name>.parquet``, all or none of them; see `write_files`.

    Parameters
    ----------
    tables : dict of str to pyarrow.Table
        Tables by name.
    out : pathlib.Path
        Folder, made if it is not there.
    force : bool
        Whether to replace files that are there.

    Raises
    ------
    UserError
        If a file is there and `force` is false, or the folder cannot be written.
    """
    write_files(_table_writers(tables), out, force=force)


def write_files(
    writers: Mapping[str, Callable[[IO[bytes]], None]], out: Path, *, force: bool = False
) -> None:
    """Have each file ``<out>/<name>.parquet`` written, all or none of them.

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
    targets = _targets(writers, out, force=force)
    staged: list[tuple[Path, Path]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            staged.append((_stage(write, out, name), targets[name]))
        for temporary, target in staged:
            temporary.replace(target)
        _sync(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write to the folder {out}: {reason}") from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _targets(names: Iterable[str], out: Path, *, force: bool) -> dict[str, Path]:
    """Where each file goes; refuses to replace one unless `force`."""
    targets = {name: out / f"{name}.parquet" for name in names}
    there = [path for path in targets.values() if path.exists()]
    if there and not force:
        raise UserError(f"{there[0]} is there already: name another folder or add --force")
    return targets


def _table_writers(tables: dict[str, pa.Table]) -> dict[str, Callable[[IO[bytes]], None]]:
    return {
        name: partial(pq.write_table, table, compression="zstd") for name, table in tables.items()
    }


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


def _parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m gpu_coldstart.datasets",
        description="Make Parquet files that gpu_coldstart reads.",
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    synthetic = sources.add_parser(
        "synthetic",
        help="a made-up streaming service",
        description="Write users, tracks, interactions and playlists of a made-up streaming "
        "service as Parquet files. The same preset and seed give the same tables.",
    )
    _add_options(synthetic)
    layout = sources.add_parser(
        "deezer-layout",
        help="the made-up service in the files of the paper's public release",
        description="Write the made-up streaming service in the layout of the public release of "
        "the paper's data: embedding spaces, input vectors and truth, ready made, in eight "
        "Parquet files. Fitting the spaces takes seconds, for --preset paper some minutes.",
    )
    _add_options(layout)
    layout.add_argument(
        "--strings",
        action="store_true",
        help="write lists as text ('[0.1, 0.2]'), as some copies of the release have them",
    )
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every source."""
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="small",
        help="tiny: a few hundred users, for tests; small (default): 9000 users; paper: "
        "100000 users and 50000 tracks, the size of the paper's data (2 GB of memory)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--seed", type=int, default=0, help="0 or more (default: 0)")
    parser.add_argument("--force", action="store_true", help="replace files in DIR")


def _writers(options: argparse.Namespace) -> Mapping[str, Callable[[IO[bytes]], None]]:
    """Make what is asked for; returns what writes its files."""
    if options.source == "synthetic":
        return _table_writers(generate(PRESETS[options.preset], options.seed))
    # The engine's libraries take seconds to import, which only this source needs.
    from gpu_coldstart.datasets.deezer import layout as deezer_layout

    _targets(deezer_layout.FILES, options.out, force=options.force)
    return deezer_layout.make(options.preset, options.seed, as_text=options.strings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 2 for a user's mistake.
    """
    options = _parser().parse_args(argv)
    try:
        writers = _writers(options)
        write_files(writers, options.out, force=options.force)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name in writers:
        path = options.out / f"{name}.parquet"
        sys.stdout.write(f"{path}: {pq.read_metadata(path).num_rows} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
