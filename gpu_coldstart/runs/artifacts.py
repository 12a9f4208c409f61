"""What a run leaves on disk: written whole or not at all, listed with its hash, never pickled.

A run directory holds ``manifest.json``, which names each finished stage, its files and their
SHA-256. A file is written under a temporary name, flushed to the disk and renamed, and the
manifest only then; so a run killed anywhere can go on from its last whole stage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from gpu_coldstart.engine.base import Csr, Engine, HostArray
from gpu_coldstart.errors import UserError

__all__ = ["OTHER_FILES", "RunDirectory", "decode", "encode", "parquet_bytes", "write_atomically"]

T = TypeVar("T")
_MANIFEST = "manifest.json"
OTHER_FILES = ("results.json", "report.html", "times.json", "run.log")
"""Files of a run that tell when and how long, and so differ from run to run."""

_TEMPORARY = ".part"
_PROBE = f"probe{_TEMPORARY}"
_LEFT_BY_A_KILL = frozenset((_PROBE, f"{_MANIFEST}{_TEMPORARY}"))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing.

    Raises
    ------
    UserError
        When the disk is full or the place cannot be written.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{path} cannot be written: the disk is full; free some space"
            ) from None
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another place with --out"
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
            tensors[name] = np.ascontiguousarray(engine.to_host(leaf))
        else:
            values[name] = leaf
    return save_tensors(tensors, {"values": json.dumps(values, sort_keys=True)})


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for item in dataclasses.fields(value):
        inner = getattr(value, item.name)
        if dataclasses.is_dataclass(inner):
            yield from _leaves(inner, f"{prefix}{item.name}.")
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
        if name in tensors:
            fields[item.name] = engine.asarray(tensors[name])
        elif dataclasses.is_dataclass(hint):
            fields[item.name] = _build(engine, hint, f"{name}.", tensors, values)
        else:
            fields[item.name] = _tuples(values[name])
    if kind is Csr:
        fields["shape"] = tuple(fields["shape"])
    return kind(**fields)


def _tuples(value: Any) -> Any:
    """JSON lists back to tuples."""
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


class RunDirectory:
    """A run's files and the manifest of its finished stages.

    Nothing is written before the first stage is done, so a mistake in the input leaves no trace.

    Parameters
    ----------
    path : Path
    identity : dict
        What must be the same for stages to be taken over: compared when a run is resumed.
    preamble : dict of file name to content
        Files that belong to the run as a whole, written with the first stage.
    """

    def __init__(self, path: Path, identity: dict[str, Any], preamble: dict[str, bytes]):
        self.path = path
        self.identity = identity
        self.stages: dict[str, dict[str, str]] = {}
        self._preamble = preamble
        self._begun = False

    # -- opening -------------------------------------------------------------------------------

    def check(self) -> None:
        """See that a run can be started here, without leaving a trace.

        Raises
        ------
        UserError
            When the place holds something that is not a run, or cannot be written.
        """
        if self.path.exists():
            if not self.path.is_dir():
                raise UserError(f"{self.path} is not a directory: choose another place with --out")
            there = {entry.name for entry in self.path.iterdir()} - _LEFT_BY_A_KILL
            if there and self._read_manifest() is None:
                raise UserError(
                    f"{self.path} is not empty and holds no run: choose another place with --out"
                )
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            write_atomically(self.path / _PROBE, b"")
            (self.path / _PROBE).unlink()
        finally:
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _begin(self) -> None:
        """Start a run from the beginning, in place of an earlier one."""
        self._begun = True
        earlier = self._read_manifest()
        # First of all the manifest: from then on a kill leaves a run that can be resumed.
        self._save_manifest()
        self._remove_temporaries()
        if earlier is not None:
            self._remove_files(earlier)
        self.write("config", self._preamble)

    def resume(self, explain: Callable[[dict[str, Any]], str | None]) -> bool:
        """Take over the finished stages of an interrupted run.

        Parameters
        ----------
        explain : callable
            Given the earlier identity, says in a sentence what differs, or None.

        Returns
        -------
        bool
            False where there is no run, as after an interruption in the very first stage.

        Raises
        ------
        UserError
            When something differs or is damaged.
        """
        manifest = self._read_manifest()
        if manifest is None:
            return False
        difference = explain(manifest["identity"])
        if difference:
            raise UserError(f"{self.path} cannot be resumed: {difference}")
        self.stages = manifest["stages"]
        self._begun = True
        self._remove_temporaries()
        if self.has("config"):
            self.read("config")
        else:
            self.write("config", self._preamble)
        return True

    @classmethod
    def finished(cls, path: Path) -> RunDirectory:
        """A finished run, to read from.

        Raises
        ------
        UserError
            When there is no run, or one that was interrupted.
        """
        run = cls(path, {}, {})
        if not path.is_dir():
            raise UserError(f"{path} is no directory: name the directory that a run was written to")
        manifest = run._read_manifest()
        if manifest is None:
            raise UserError(
                f"{path} holds no run, as {_MANIFEST} is missing: name the directory that a run "
                "was written to"
            )
        run.identity, run.stages = manifest["identity"], manifest["stages"]
        if not (run.has("report") and (path / "results.json").exists()):
            raise UserError(
                f"{path} holds a run that is not finished: give its command again with --resume"
            )
        return run

    def _read_manifest(self) -> dict[str, Any] | None:
        path = self.path / _MANIFEST
        if not path.exists():
            return None
        try:
            manifest: dict[str, Any] = json.loads(path.read_bytes())
            dict(manifest["identity"])
            for files in manifest["stages"].values():
                dict(files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is damaged: delete {self.path} and run again without --resume"
            ) from error
        return manifest

    def _remove_temporaries(self) -> None:
        """Delete what a kill left half-written."""
        for leftover in self.path.rglob(f"*{_TEMPORARY}"):
            leftover.unlink()

    def _remove_files(self, manifest: dict[str, Any]) -> None:
        """Delete an earlier run's files."""
        for files in manifest["stages"].values():
            for name in files:
                (self.path / name).unlink(missing_ok=True)
        for name in OTHER_FILES:
            (self.path / name).unlink(missing_ok=True)

    # -- stages --------------------------------------------------------------------------------

    def has(self, stage: str) -> bool:
        """Whether the stage is finished."""
        return stage in self.stages

    def read(self, stage: str) -> dict[str, bytes]:
        """The files of a finished stage, by name.

        Raises
        ------
        UserError
            When a file is missing or its content is not what was written.
        """
        contents = {}
        for name, digest in self.stages[stage].items():
            path = self.path / name
            try:
                content = path.read_bytes()
            except OSError:
                content = b""
            if hashlib.sha256(content).hexdigest() != digest:
                raise UserError(
                    f"{path} is damaged or missing (its SHA-256 is not the one in {_MANIFEST}): "
                    "run again without --resume"
                )
            contents[name] = content
        return contents

    def write(self, stage: str, files: dict[str, bytes]) -> None:
        """Save a stage's files, then note the stage as finished."""
        if not self._begun:
            self._begin()
        for name, content in files.items():
            write_atomically(self.path / name, content)
        self.stages[stage] = {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items()
        }
        self._save_manifest()

    def _save_manifest(self) -> None:
        manifest = {"identity": self.identity, "stages": self.stages}
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        write_atomically(self.path / _MANIFEST, text.encode())
