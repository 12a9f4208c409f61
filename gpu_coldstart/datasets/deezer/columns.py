"""Columns of the public release's Parquet files, in whatever form a copy stores them.

Numbers are integers or floats of any width. A list of numbers is an Arrow list, or its text as
pandas or NumPy print it: ``[0.1, -2e-3]``, or ``[ 0.1 -2.e-03]`` over several lines. Everything is
read a row group and some columns at a time, so that memory holds little more than what is kept.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gpu_coldstart.data.files import is_there
from gpu_coldstart.datasets.deezer.text import Ints, owner, parse
from gpu_coldstart.errors import UserError
from gpu_coldstart.regular import open_arrow

__all__ = [
    "AGAIN",
    "IDS",
    "LISTS",
    "NUMBERS",
    "NUMBERS_OR_NULLS",
    "RECORD",
    "TITLE",
    "Floats",
    "Ints",
    "Kind",
    "ReleaseFile",
    "float_matrix",
    "integer_lists",
    "integers",
    "usual_length",
]

Floats: TypeAlias = npt.NDArray[np.float32]

TITLE = "A Semi-Personalized System for User Cold Start Recommendation on Music Streaming Apps"
"""What the data set is called on Zenodo."""

RECORD = "https://zenodo.org/record/5121674"
"""Where it is, as the authors' repository (deezer/semi_perso_user_cold_start) says."""

AGAIN = f"download the file again from {RECORD}"
"""What to do about a file that is not as it should be."""

_LARGEST_FLOAT = 2**53


class Kind(NamedTuple):
    """A kind of column: which Arrow types are of it, and how to say so."""

    accepts: Callable[[Any], bool]
    wanted: str


def _is_number(dtype: Any) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def _is_number_or_null(dtype: Any) -> bool:
    return _is_number(dtype) or bool(pa.types.is_null(dtype))


def _is_text(dtype: Any) -> bool:
    types = pa.types
    kinds = (types.is_string, types.is_large_string, types.is_string_view)
    raw = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if isinstance(dtype, pa.BaseExtensionType):
        return bool(dtype.extension_name == "arrow.json")
    return any(is_(dtype) for is_ in (*kinds, *raw))


def _is_list(dtype: Any) -> bool:
    types = pa.types
    if any(is_(dtype) for is_ in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        return _is_number(dtype.value_type)
    return _is_text(dtype)


IDS = Kind(_is_number, "integers")
NUMBERS = Kind(_is_number, "integers or floats")
NUMBERS_OR_NULLS = Kind(_is_number_or_null, "integers or floats")
LISTS = Kind(_is_list, "lists of numbers, or their text")


# -- a file ----------------------------------------------------------------------------------------


class ReleaseFile:
    """A Parquet file of the release, opened.

    Its footer is read once; the data are checked against the file's checksums, where it has them.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    rows : int
        Number of rows; at least 1.
    names : frozenset of str
        Columns.

    Raises
    ------
    UserError
        When the file is missing, not a Parquet file, damaged, or has no rows.
    """

    def __init__(self, path: Path):
        self.path = path
        if not (is_there(path) and path.is_file()):
            raise UserError(
                f"{path} does not exist: download the data set '{TITLE}' from {RECORD} and put its "
                "eight files into one directory"
            )
        with self._reading():
            self._parquet = pq.ParquetFile(open_arrow(path), page_checksum_verification=True)
            schema = self._parquet.schema_arrow
            self._names = Counter(schema.names)
            self._types = dict(zip(schema.names, schema.types, strict=True))
            consistent = _says_the_same(schema, self._parquet.metadata.metadata)
        self._groups = range(self._parquet.num_row_groups)
        sizes = [self._parquet.metadata.row_group(i).num_rows for i in self._groups]
        self.rows = int(self._parquet.metadata.num_rows)
        if not consistent or self.rows != sum(sizes) or min(sizes, default=0) < 0:
            self._damaged("its footer contradicts itself")
        if self.rows == 0:
            raise UserError(f"{path} has no rows: {AGAIN}")
        self._starts = np.cumsum([0, *sizes]).tolist()
        self.names = frozenset(self._names)

    def require(self, column: str, kind: Kind, why: str = "") -> None:
        """Refuse a file without a column, or with one of another type.

        Parameters
        ----------
        why : str
            What needs the column; the error gives it in brackets.
        """
        dtype = self._types.get(column)
        if dtype is None:
            reason = f" ({why})" if why else ""
            raise UserError(
                f"{self.path} has no column '{column}'{reason}: download the file again, from the "
                f"data set '{TITLE}' at {RECORD}"
            )
        if self._names[column] > 1:
            raise UserError(
                f"{self.path} has {self._names[column]} columns named '{column}': {AGAIN}"
            )
        if not kind.accepts(dtype):
            name = str(dtype) if len(str(dtype)) < 60 else f"{str(dtype)[:60]}..."
            raise UserError(
                f"{self.path}, column '{column}': found the type {name}, wanted {kind.wanted}: "
                f"{AGAIN}"
            )

    def parts(self, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Some columns, a row group at a time: the number of its first row, and an Arrow table."""
        for group in self._groups:
            with self._reading():
                table = self._parquet.read_row_group(group, columns=list(columns))
                table.validate()
            first, end = self._starts[group : group + 2]
            if table.num_rows != end - first:
                self._damaged("a row group has fewer rows than its footer says")
            yield first, table

    def head(self, column: str, rows: int) -> Any:
        """The first rows of a column: an Arrow chunked array of at most ``rows``."""
        with self._reading():
            for batch in self._parquet.iter_batches(batch_size=rows, columns=[column]):
                table = pa.Table.from_batches([batch])
                table.validate()
                return table.column(column)
        return self._damaged("it ends before its first row")

    def fail(self, column: str, row: int, problem: str, remedy: str = AGAIN) -> NoReturn:
        """Say what is wrong with a cell."""
        raise UserError(
            f"{self.path}, column '{column}', row {row}, counting from 0: {problem}: {remedy}"
        )

    def _damaged(self, reason: str) -> NoReturn:
        raise UserError(f"{self.path} is damaged ({reason}): {AGAIN}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Tell what the Parquet reader says of a file that is not whole.

        Damage can surface as almost any exception (names that are not UTF-8, sizes that cannot
        be allocated), hence the long list.
        """
        try:
            yield
        except (OSError, ValueError, MemoryError, OverflowError, pa.ArrowException) as error:
            line = (str(error).splitlines() or [""])[0].strip(". ") or type(error).__name__
            raise UserError(
                f"{self.path} cannot be read as a Parquet file ({line[:200]}): {AGAIN}"
            ) from error


def _says_the_same(schema: Any, metadata: Mapping[bytes, bytes] | None) -> bool:
    """Whether a footer's columns agree with the Arrow schema that some writers store with them.

    Checksums guard the data, but not the footer, where one damaged byte may turn floats into
    integers. Only kinds of types are compared, as readers may choose among widths.
    """
    stored = (metadata or {}).get(b"ARROW:schema")
    if stored is None:
        return True
    arrow = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(stored)))
    if arrow.names != schema.names:
        return False
    for one, other in zip(arrow, schema, strict=True):
        kinds = {_family(one.type), _family(other.type)} - {""}
        if one.nullable != other.nullable or len(kinds) > 1:
            return False
    return True


def _family(dtype: Any) -> str:
    """What kind of thing a type holds; empty for kinds that no column here is of."""
    if _is_text(dtype):
        return "text"
    if _is_list(dtype):
        return f"lists of {_family(dtype.value_type)}"
    if pa.types.is_floating(dtype):
        return "floats"
    return "integers" if pa.types.is_integer(dtype) else ""


# -- columns ---------------------------------------------------------------------------------------


def integers(file: ReleaseFile, column: str) -> Ints:
    """A column of whole numbers [rows] of int64, whatever the type they are stored as.

    Raises
    ------
    UserError
        For a null, a fraction, NaN or infinity.
    """
    numbers = np.empty(file.rows, dtype=np.int64)
    for first, table in file.parts([column]):
        array = table.column(column)
        values = array.to_numpy()
        if array.null_count:
            file.fail(column, first + int(np.argmax(array.is_null())), "the cell is null")
        whole = _whole(values)
        if not whole.all():
            row = int(np.argmin(whole))
            file.fail(column, first + row, f"{values[row]} is not a whole number of 64 bits")
        numbers[first : first + len(values)] = values.astype(np.int64)
    return numbers


def float_matrix(file: ReleaseFile, column: str, width: int, why: str) -> Floats:
    """A column of lists of equally many numbers, as a matrix.

    Parameters
    ----------
    width : int
        Numbers in each list.
    why : str
        Where that comes from, for an error.

    Returns
    -------
    array [rows, width] of float32

    Raises
    ------
    UserError
        For a null, text that is not a list, another length, or a number that float32 cannot hold.
    """
    matrix = np.empty((file.rows, width), dtype=np.float32)
    for row, lengths, values in _lists(file, column, whole=False):
        wrong = lengths != width
        if wrong.any():
            at = int(np.argmax(wrong))
            file.fail(column, row + at, f"the list has {lengths[at]} numbers, but {why}")
        block = matrix[row : row + len(lengths)]
        with np.errstate(over="ignore"):
            block[...] = values.reshape(block.shape)
        fine = np.isfinite(block)
        if not fine.all():
            at = int(np.argmin(fine))
            problem = f"the list holds {values[at]}, which float32 cannot"
            file.fail(column, row + at // width, problem)
    return matrix


def integer_lists(file: ReleaseFile, column: str) -> tuple[Ints, Ints]:
    """A column of lists of whole numbers: indptr [rows + 1] and values [entries], both int64.

    Raises
    ------
    UserError
        For a null, text that is not a list, or a number that is not whole.
    """
    counts, entries = [np.zeros(1, dtype=np.int64)], []
    for row, lengths, values in _lists(file, column, whole=True):
        whole = _whole(values)
        if not whole.all():
            at = int(np.argmin(whole))
            problem = f"the list holds {values[at]}, which is not a whole number of 64 bits"
            file.fail(column, row + owner(lengths, at), problem)
        counts.append(lengths)
        entries.append(values.astype(np.int64))
    return np.cumsum(np.concatenate(counts)), np.concatenate(entries)


def usual_length(file: ReleaseFile, column: str) -> int:
    """Most common length among a column's first lists.

    Raises
    ------
    UserError
        As :func:`float_matrix`, and when that length is 0.
    """
    lengths = [chunk for _, chunk, _ in _chunk_lists(file, column, 0, file.head(column, 512))]
    usual = int(np.bincount(np.concatenate(lengths)).argmax())
    if usual == 0:
        file.fail(column, 0, "the list is empty")
    return usual


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mask of the numbers that int64 holds exactly."""
    if values.dtype.kind == "i":
        return np.ones(values.shape, dtype=bool)
    if values.dtype.kind == "u":
        return values <= np.iinfo(np.int64).max
    with np.errstate(invalid="ignore"):
        whole: npt.NDArray[np.bool_] = abs(values) <= _LARGEST_FLOAT
        whole &= values == np.floor(values)
    return whole


# -- lists -----------------------------------------------------------------------------------------

_Lists: TypeAlias = Iterator[tuple[int, Ints, npt.NDArray[Any]]]
"""Some rows' lists: the number of the first row, the lengths [n], and all numbers."""


def _lists(file: ReleaseFile, column: str, *, whole: bool) -> _Lists:
    for first, table in file.parts([column]):
        yield from _chunk_lists(file, column, first, table.column(column), whole=whole)


def _chunk_lists(
    file: ReleaseFile, column: str, first: int, array: Any, *, whole: bool = False
) -> _Lists:
    """The lists of a chunked array, whose first row is row ``first`` of the file."""
    for chunk in array.chunks:
        if chunk.null_count:
            file.fail(column, first + int(np.argmax(chunk.is_null())), "the cell is null")
        if _is_text(chunk.type):
            for row, lengths, values, bad in parse(chunk, whole=whole):
                if bad is not None:
                    file.fail(column, first + row, f"{bad!r} is not a list of numbers")
                yield first + row, lengths, values
        else:
            lengths = pc.list_value_length(chunk).to_numpy().astype(np.int64)
            values = chunk.flatten()
            if values.null_count:
                row = first + owner(lengths, int(np.argmax(values.is_null())))
                file.fail(column, row, "the list holds a null")
            yield first, lengths, values.to_numpy()
        first += len(chunk)
