"""Text files with columns, in a folder or an archive, read and checked."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gpu_coldstart.errors import UserError, first_line
from gpu_coldstart.regular import check_regular

__all__ = ["Layout", "constant", "holds", "read", "text"]

_ARCHIVES = (".zip", ".whl", ".tar.gz", ".tgz")
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, OSError, EOFError, RuntimeError)


@dataclass(frozen=True)
class Layout:
    """A file of rows of text.

    Attributes
    ----------
    name : str
        Of the file, wherever in the folder or archive it lies.
    columns : mapping of str to pa.DataType
        All columns in their order, as they are called from here on.
    separator : str
        Between columns.
    header : str
        The first line, if that is none of the rows; it may then have more columns at its end.
    encoding : str
    """

    name: str
    columns: Mapping[str, pa.DataType]
    separator: str = "\t"
    header: str = ""
    encoding: str = "utf8"


def holds(place: Path, name: str) -> bool:
    """Whether a folder or an archive has a file of that name.

    Raises
    ------
    UserError
        When it is neither, or damaged.
    """
    try:
        with _opened(place, name):
            return True
    except _MissingError:
        return False


def read(place: Path, layout: Layout) -> pa.Table:
    """The rows of a file.

    Parameters
    ----------
    place : Path
        The folder, or the zip, wheel or tar.gz, that holds the file.

    Raises
    ------
    UserError
        When there is no such file, or it is damaged or of another layout.
    """
    with _opened(place, layout.name) as file:
        return _parsed(file, layout, f"{place}, {layout.name},")


def text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of strings with null for empty ones."""
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def constant(word: str, rows: int) -> pa.Array:
    """A column that holds the same word everywhere, at a byte a row."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), rows), [word])


class _MissingError(UserError):
    """There is no file of that name."""


@contextmanager
def _opened(place: Path, name: str) -> Iterator[IO[bytes]]:
    """A file out of a folder or an archive."""
    if not (place.is_dir() or place.name.endswith(_ARCHIVES)):
        raise UserError(f"{place} is no folder and none of {', '.join(_ARCHIVES)}: name one")
    try:
        check_regular(place)
        with ExitStack() as stack:
            file = _found(place, name, stack)
            if file is None:
                raise _MissingError(
                    f"{place} holds no {name}: name the folder or archive of the data set"
                )
            yield file
    except _DAMAGE as error:
        raise UserError(
            f"{place} cannot be read ({first_line(error)}): download it again"
        ) from error


def _found(place: Path, name: str, stack: ExitStack) -> IO[bytes] | None:
    if place.is_dir():
        for path in sorted(place.rglob(name)):
            check_regular(path)
            return stack.enter_context(path.open("rb"))
    elif place.name.endswith((".zip", ".whl")):
        archive = stack.enter_context(zipfile.ZipFile(place))
        for member in archive.namelist():
            if PurePosixPath(member).name == name:
                return stack.enter_context(archive.open(member))
    else:
        packed = stack.enter_context(tarfile.TarFile.open(place))
        for member in packed.getnames():
            if PurePosixPath(member).name == name:
                return packed.extractfile(member)
    return None


def _parsed(file: IO[bytes], layout: Layout, where: str) -> pa.Table:
    if layout.header:
        line = file.readline().decode(layout.encoding, "replace").rstrip("\r\n")
        if line != layout.header:
            raise UserError(
                f"{where} begins with {line[:100]!r}, not with {layout.header!r}: "
                "it is of another layout"
            )
    separator = layout.separator
    if len(separator) > 1:  # Arrow takes one character
        file = io.BytesIO(file.read().replace(separator.encode(), b"\x1f"))
        separator = "\x1f"
    try:
        return pa.csv.read_csv(
            file,
            read_options=pa.csv.ReadOptions(
                column_names=list(layout.columns), encoding=layout.encoding
            ),
            parse_options=pa.csv.ParseOptions(delimiter=separator, quote_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict(layout.columns), null_values=[""], strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise UserError(f"{where} is of another layout: {first_line(error)}") from error
