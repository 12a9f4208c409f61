"""Make the tables of the data contract: ``python -m gpu_coldstart.datasets``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.datasets.synthetic import generate
from gpu_coldstart.datasets.world import PRESETS
from gpu_coldstart.errors import UserError

__all__ = ["main", "write_tables"]


def write_tables(tables: dict[str, pa.Table], out: Path, *, force: bool = False) -> None:
    """Write each table to ``<out>/<name>.parquet``, all or none of them.

    All tables are written and synced under temporary names before the first takes its own, so
    that a full disk or a kill while writing leaves the files that were there.

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
    targets = {name: out / f"{name}.parquet" for name in tables}
    there = [path for path in targets.values() if path.exists()]
    if there and not force:
        raise UserError(f"{there[0]} is there already: name another folder or add --force")
    staged: list[tuple[Path, Path]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            staged.append((_stage(table, out, name), targets[name]))
        for temporary, target in staged:
            temporary.replace(target)
        _sync(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write to the folder {out}: {reason}") from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _stage(table: pa.Table, out: Path, name: str) -> Path:
    """Write `table` under a temporary name in `out`, down to the disk; returns the name."""
    handle, path = tempfile.mkstemp(prefix=f".{name}-", suffix=".tmp", dir=out)
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(table, file, compression="zstd")
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
        description="Make the Parquet tables that gpu_coldstart reads.",
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    synthetic = sources.add_parser(
        "synthetic",
        help="a made-up streaming service",
        description="Write users, tracks, interactions and playlists of a made-up streaming "
        "service as Parquet files. The same preset and seed give the same tables.",
    )
    synthetic.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="small",
        help="tiny: a few hundred users, for tests; small (default): 9000 users; paper: "
        "100000 users and 50000 tracks, the size of the paper's data (2 GB of memory)",
    )
    synthetic.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    synthetic.add_argument("--seed", type=int, default=0, help="0 or more (default: 0)")
    synthetic.add_argument("--force", action="store_true", help="replace files in DIR")
    return parser


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
        tables = generate(PRESETS[options.preset], options.seed)
        write_tables(tables, options.out, force=options.force)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name, table in tables.items():
        sys.stdout.write(f"{options.out / name}.parquet: {table.num_rows} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
