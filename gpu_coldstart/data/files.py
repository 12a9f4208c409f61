"""Tables where they lie: a Parquet file, a directory of part files, a CSV file, or in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gpu_coldstart.data.contract import SCHEMAS, contents
from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.regular import check_regular, open_arrow

__all__ = ["Opened", "files_below", "is_there", "open_table", "part_files"]

_SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Opened:
    """A table whose columns are known and whose values are not yet read.

    Attributes
    ----------
    table : str
        Its name in the data contract.
    file : str
        How errors name it.
    types : mapping of str to pyarrow.DataType
        Of every column.
    parts : tuple of (str, int)
        Name and number of rows of each part.
    paths : tuple of Path
        The files; empty for a table in memory.
    values : pyarrow.Table or None
        A table in memory, or the text of a CSV file.
    as_it_is : bool
        Whether it is one Parquet file that an engine may read by itself.
    is_text : bool
        Whether every column is text still, as in a CSV file.
    """

    table: str
    file: str
    types: Mapping[str, pa.DataType]
    parts: tuple[tuple[str, int], ...]
    paths: tuple[Path, ...] = ()
    values: pa.Table | None = None
    as_it_is: bool = False
    is_text: bool = False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(rows for _, rows in self.parts)

    def place(self, row: int) -> tuple[str, int]:
        """The part that holds a row, and the row's number within it."""
        for name, rows in self.parts:
            if row < rows:
                return name, row
            row -= rows
        raise IndexError(row)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Columns as an Arrow table in host memory.

        Raises
        ------
        UserError
            When a file is damaged.
        """
        if self.values is not None:
            return self.values.select(list(columns))
        return pa.concat_tables([_pages(path, columns) for path in self.paths])


def open_table(entry: Path | pa.Table, table: str) -> Opened:
    """See which columns a table has.

    Raises
    ------
    UserError
        When it is missing, not whole, or has a column twice.
    """
    if not isinstance(entry, Path):
        types = _types(entry.schema, table, table)
        return Opened(table, table, types, ((table, entry.num_rows),), values=entry)
    if not is_there(entry):
        raise UserError(
            f"{entry} does not exist: it should be a Parquet file with {contents(table)}"
        )
    if entry.is_dir():
        return _directory(entry, table)
    return _file(entry, table)


def is_there(path: Path) -> bool:
    """Whether there is a file or directory that can be read.

    Raises
    ------
    UserError
        For a link that leads nowhere, and for what is neither a file nor a directory.
    """
    try:
        check_regular(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise UserError(
                f"{path} is a link to a file that does not exist: mend or delete the link"
            ) from None
        return False
    except NotADirectoryError:
        return False
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend or replace it") from error
    return True


def files_below(directory: Path) -> list[Path]:
    """The files in a directory and its folders, by name.

    Names that begin with ``.`` or ``_``, which Spark and others use for their own ends, are
    skipped.

    Raises
    ------
    UserError
        For a folder that cannot be read, one that is a link (which might lead in a circle), and
        what :func:`is_there` refuses.
    """

    def unreadable(error: OSError) -> None:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}): mend or delete it"
        ) from error

    below = []
    for folder, folders, names in os.walk(directory, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for path in (Path(folder, name) for name in folders):
            if path.is_symlink():
                raise UserError(f"{path} is a link to a folder: put the folder itself there")
        paths = (Path(folder, name) for name in names if not name.startswith((".", "_")))
        below += [path for path in paths if is_there(path)]
    return sorted(below)


def part_files(directory: Path) -> list[Path]:
    """The part files of a table: those that :func:`files_below` finds, all Parquet or all CSV.

    Raises
    ------
    UserError
        When there is none, both kinds, or another file.
    """
    parts = files_below(directory)
    others = [path for path in parts if path.suffix not in _SUFFIXES]
    if others:
        raise UserError(
            f"{others[0]} is no part file, whose name ends in .parquet or .csv: rename it, or put "
            "it elsewhere"
        )
    if not parts:
        raise UserError(
            f"{directory} is a directory without part files: it should hold files that end in "
            ".parquet or .csv"
        )
    suffixes = {path.suffix: path for path in parts}
    if len(suffixes) > 1:
        raise UserError(
            f"{directory} holds both Parquet and CSV files, such as {suffixes['.parquet']} and "
            f"{suffixes['.csv']}: keep one kind"
        )
    return parts


def _directory(directory: Path, table: str) -> Opened:
    """Part files as one table; the names of the folders they lie in are not data."""
    parts = [_file(path, table) for path in part_files(directory)]
    parts = [part for part in parts if part.rows] or parts[:1]
    first = parts[0]
    for part in parts[1:]:
        for name in (field.name for field in SCHEMAS[table]):
            one, other = first.types.get(name), part.types.get(name)
            if one != other:
                here = "is missing" if other is None else f"has the type {other}"
                there = "is missing" if one is None else f"has the type {one}"
                raise UserError(
                    f"{part.file}, column '{name}' {here} but in {first.file} it {there}: write "
                    "all parts with the same columns and types"
                )
    values = None
    if first.is_text:
        names = [field.name for field in SCHEMAS[table] if field.name in first.types]
        values = pa.concat_tables([part.read(names) for part in parts])
    return Opened(
        table,
        str(directory),
        first.types,
        tuple(inner for part in parts for inner in part.parts),
        tuple(path for part in parts for path in part.paths),
        values,
        is_text=first.is_text,
    )


def _file(path: Path, table: str) -> Opened:
    if path.suffix == ".csv":
        return _csv(path, table)
    footer = _footer(path)
    schema = footer.schema_arrow
    physical = {footer.schema.column(i).physical_type for i in range(len(footer.schema))}
    return Opened(
        table,
        str(path),
        _types(schema, str(path), table),
        ((str(path), footer.metadata.num_rows),),
        (path,),
        as_it_is="INT96" not in physical and _is_utf8(path),
    )


def _is_utf8(path: Path) -> bool:
    """Whether libraries take the path, which must be UTF-8 for most."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _types(schema: pa.Schema, file: str, table: str) -> dict[str, pa.DataType]:
    names = list(schema.names)
    for name in (field.name for field in SCHEMAS[table]):
        if names.count(name) > 1:
            raise UserError(
                f"{file} has {names.count(name)} columns named '{name}': keep one of them"
            )
        if name in _ranges(schema) and name not in names:
            raise UserError(
                f"{file}: '{name}' is the index of a pandas frame, not a column: call "
                "reset_index() before writing it"
            )
    return dict(zip(names, schema.types, strict=True))


def _ranges(schema: pa.Schema) -> list[Any]:
    """Names of index levels that pandas notes as ranges, and writes no column for."""
    try:
        levels = (schema.pandas_metadata or {}).get("index_columns", [])
        return [level.get("name") for level in levels if isinstance(level, dict)]
    except (ValueError, AttributeError, TypeError):  # the note is damaged, and not needed
        return []


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet(path: Path) -> pq.ParquetFile:
    # ParquetFile, unlike read_table, takes no column from the names of folders. INT96 is a
    # day and nanoseconds: as nanoseconds it would wrap beyond 2262, as microseconds beyond 294247.
    return pq.ParquetFile(
        open_arrow(path), coerce_int96_timestamp_unit="ms", page_checksum_verification=True
    )


def _footer(path: Path) -> pq.ParquetFile:
    """A Parquet file, its footer read.

    A damaged footer can surface as almost any exception of the reader (names that are not
    UTF-8, sizes that cannot be allocated), hence the long list.
    """
    try:
        file = _parquet(path)
        file.schema_arrow.names  # noqa: B018 - decodes them, which a damaged one fails
        file.schema.names  # noqa: B018
    except (OSError, ValueError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise UserError(_not_parquet(path, error)) from error
    return file


def _pages(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        with _parquet(path) as file:
            return file.read(list(columns))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): write it again") from error


def _not_parquet(path: Path, error: BaseException) -> str:
    """Why a file has no readable footer: Parquet begins and ends with the letters PAR1."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(path.stat().st_size - 4, 0))
            tail = file.read(4)
    except OSError as cause:
        return f"{path} cannot be read ({cause.strerror}): check its permissions and the disk"
    if not head:
        return f"{path} is empty: copy or write it again"
    if head != b"PAR1":
        return f"{path} is not a Parquet file: convert it, in pandas with DataFrame.to_parquet"
    if tail != b"PAR1":
        return f"{path} is cut short: its end is missing, so copy or write it again"
    reason = first_line(error)
    return f"{path} is damaged, its footer cannot be read ({reason}): copy or write it again"


# -- CSV -------------------------------------------------------------------------------------------


def _csv(path: Path, table: str) -> Opened:
    """The contract's columns of a CSV file, as text; an empty cell is null."""
    names = [field.name for field in SCHEMAS[table]]
    options: dict[str, Any] = {
        "column_types": dict.fromkeys(names, pa.string()),
        "null_values": [""],
        "strings_can_be_null": True,
    }
    try:
        values = pa.csv.read_csv(open_arrow(path), convert_options=pa.csv.ConvertOptions(**options))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a CSV file in UTF-8 with a header ({first_line(error)}): correct it"
        ) from error
    types = _types(values.schema, str(path), table)
    kept = [name for name in names if name in types]
    rows = ((str(path), values.num_rows),)
    return Opened(table, str(path), types, rows, (path,), values.select(kept), is_text=True)
