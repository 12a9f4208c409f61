"""Values as files: safetensors, Parquet and JSON, written whole or not at all, never pickled."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.errors import UserError

__all__ = [
    "DAMAGE",
    "TEMPORARY",
    "decode",
    "encode",
    "guarded",
    "json_bytes",
    "lacks_memory",
    "parquet_bytes",
    "read_json",
    "read_table",
    "write_atomically",
]

T = TypeVar("T")

TEMPORARY = ".part"
"""Suffix of a file that is being written."""

DAMAGE = (
    SafetensorError,
    pa.ArrowException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
)
"""What parsers raise on files that are empty, cut, nested too deep or of other shapes and sizes."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of a library tells a lack of memory: they have no class in common."""
    return isinstance(error, MemoryError) or "memory" in str(error)


@contextmanager
def guarded(place: object, remedy: str) -> Iterator[None]:
    """Turn any parser error on a damaged file into one sentence.

    Parameters
    ----------
    place : path
        The file, for the sentence.
    remedy : str
        What to do about it, such as "run again with --overwrite".

    Raises
    ------
    UserError
        For a file that is empty, truncated, of another shape or type, too large, or not there.

    Examples
    --------
    >>> with guarded("results.json", "run again"):
    ...     json.loads(b"{")
    Traceback (most recent call last):
    gpu_coldstart.errors.UserError: results.json is damaged or of another version: run again
    """
    try:
        yield
    except (*DAMAGE, OSError) as error:
        reason = getattr(error, "strerror", None)  # the system's, where it is not the parser's
        kind = "exceeds the memory" if lacks_memory(error) else "of another version"
        wrong = f"cannot be read ({reason})" if reason else f"is damaged or {kind}"
        raise UserError(f"{place} {wrong}: {remedy}") from error


def read_json(content: bytes, kind: type[T]) -> T:
    """A JSON document whose top is a ``dict`` or ``list``; for use under :func:`guarded`."""
    value = json.loads(content)
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is needed")
    return value


def read_table(content: bytes) -> pa.Table:
    """A Parquet table; for use under :func:`guarded`.

    It is read in this thread: Arrow's own threads may hold the content a moment longer, and where
    the interpreter ends within that moment, the process aborts.
    """
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False) as file:
        return file.read(use_threads=False)


def json_bytes(value: Any, *, levels: int = 1, sort_keys: bool = False) -> bytes:
    """A JSON file in which each entry of the outer levels has a line.

    Python's own indentation has no compiled encoder, which shows in files written once a stage.
    """

    def text(value: Any, levels: int, margin: str = "\n") -> str:
        if not levels or not value or not isinstance(value, dict | list):
            return json.dumps(value, sort_keys=sort_keys)
        if isinstance(value, list):
            lines, (first, last) = [text(each, levels - 1, f"{margin} ") for each in value], "[]"
        else:
            items = sorted(value.items()) if sort_keys else value.items()
            lines, (first, last) = (
                [
                    f"{json.dumps(key)}: {text(each, levels - 1, f'{margin} ')}"
                    for key, each in items
                ],
                "{}",
            )
        return f"{first}{margin} " + f",{margin} ".join(lines) + f"{margin}{last}"

    return (text(value, levels) + "\n").encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing.

    Raises
    ------
    UserError
        When the disk is full or the place cannot be written.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except BaseException as error:  # an interruption must leave nothing half-written, either
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{path} cannot be written: the disk is full; free some space"
            ) from None
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another place"
        ) from error


def _sync_directory(directory: Path) -> None:
    """Make a rename in the directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def parquet_bytes(columns: dict[str, Any]) -> bytes:
    """A Parquet file of named host columns, in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return typing.cast("bytes", sink.getvalue().to_pybytes())


def encode(engine: Engine, value: Any) -> bytes:
    """A dataclass of arrays, matrices, numbers and names as a safetensors file.

    Arrays become tensors named by their field; everything else goes as JSON into the file's
    metadata under the one key ``values`` (several keys would come out in changing order).
    """
    tensors: dict[str, HostArray] = {}
    values: dict[str, Any] = {}
    for name, leaf in _leaves(value, ""):
        if hasattr(leaf, "dtype"):
            host = leaf if isinstance(leaf, np.ndarray) else engine.to_host(leaf)
            tensors[name] = np.ascontiguousarray(host)
        else:
            values[name] = leaf
    return save_tensors(tensors, {"values": json.dumps(values, sort_keys=True)})


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for item in dataclasses.fields(value):
        inner = getattr(value, item.name)
        if dataclasses.is_dataclass(inner):
            yield from _leaves(inner, f"{prefix}{item.name}.")
        elif isinstance(inner, tuple) and inner and dataclasses.is_dataclass(inner[0]):
            for place, each in enumerate(inner):
                yield from _leaves(each, f"{prefix}{item.name}.{place}.")
        else:
            yield f"{prefix}{item.name}", inner


def decode(engine: Engine, content: bytes, kind: type[T]) -> T:
    """The dataclass that :func:`encode` wrote, with arrays of the engine's own kind."""
    tensors = load_tensors(content)
    header_length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_length])
    values = json.loads(header["__metadata__"]["values"])
    return typing.cast("T", _build(engine, kind, "", tensors, values))


def _build(
    engine: Engine, kind: Any, prefix: str, tensors: dict[str, HostArray], values: dict[str, Any]
) -> Any:
    hints = typing.get_type_hints(kind)
    fields: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        name = f"{prefix}{item.name}"
        hint = hints[item.name]
        if isinstance(hint, UnionType):  # with None, which is a value if it is there
            hint = typing.get_args(hint)[0]
        if name in tensors:
            on_host = hint == HostArray
            fields[item.name] = tensors[name] if on_host else engine.asarray(tensors[name])
        elif dataclasses.is_dataclass(hint) and name not in values:
            fields[item.name] = _build(engine, hint, f"{name}.", tensors, values)
        elif dataclasses.is_dataclass(each := (*typing.get_args(hint), None)[0]):
            inner = (key.removeprefix(f"{name}.") for key in tensors if key.startswith(f"{name}."))
            parts = sorted({int(key.partition(".")[0]) for key in inner})
            fields[item.name] = tuple(
                _build(engine, each, f"{name}.{part}.", tensors, values) for part in parts
            )
        else:
            fields[item.name] = _tuples(values[name])
    if kind is Csr:
        fields["shape"] = tuple(fields["shape"])
        _check_matrix(prefix, tensors, fields["shape"])
    return kind(**fields)


def _check_matrix(prefix: str, tensors: dict[str, HostArray], shape: tuple[int, int]) -> None:
    """Refuse a matrix whose parts do not fit together: engines read without looking."""
    indptr, indices, data = (tensors[f"{prefix}{part}"] for part in ("indptr", "indices", "data"))
    fits = (
        indptr.shape == (shape[0] + 1,)
        and indptr[0] == 0
        and bool((np.diff(indptr) >= 0).all())
        and indices.shape == data.shape == (int(indptr[-1]),)
        and (not len(indices) or (indices.min() >= 0 and indices.max() < shape[1]))
    )
    if not fits:
        raise ValueError(f"the parts of the matrix {prefix.rstrip('.')} do not fit together")


def _tuples(value: Any) -> Any:
    """JSON lists back to tuples."""
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value
