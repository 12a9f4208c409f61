"""What a run leaves on disk: whole or not at all, and what comes back of it."""

from __future__ import annotations

import errno
import io
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.artifacts import (
    decode,
    encode,
    guarded,
    parquet_bytes,
    read_json,
    read_table,
    write_atomically,
)
from tests.worlds import dense, some_world, sparse

# -- encode and decode -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    matrix: Csr
    words: tuple[str, ...]


@dataclass(frozen=True)
class Whole:
    whole: Array
    empty: Array
    one: Inner
    other: Csr
    number: int
    share: float
    pairs: tuple[tuple[int, str], ...]
    nothing: None = None


def whole(engine: Engine) -> Whole:
    return Whole(
        engine.asarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        engine.asarray(np.zeros((0, 4), np.float32)),
        Inner(sparse(engine, [[0, 2.5], [0, 0], [1, 0]]), ("a", "é\n")),
        sparse(engine, np.zeros((2, 5))),
        -(2**60),
        0.1,
        ((1, "x"), (2, "y")),
    )


def test_round_trip(engine: Engine) -> None:
    before = whole(engine)
    after = decode(engine, encode(engine, before), Whole)
    assert isinstance(after.one, Inner)
    for name in ("whole", "empty"):
        one, other = (engine.to_host(getattr(value, name)) for value in (before, after))
        assert one.dtype == other.dtype
        assert_array_equal(one, other)
    for one_matrix, matrix in ((before.one.matrix, after.one.matrix), (before.other, after.other)):
        assert matrix.shape == one_matrix.shape
        assert isinstance(matrix.shape, tuple)
        assert_array_equal(dense(engine, matrix), dense(engine, one_matrix))
    assert after.one.words == ("a", "é\n")
    assert (after.number, after.share, after.pairs) == (before.number, 0.1, before.pairs)
    assert after.nothing is None


def test_round_trip_of_logs(engine: Engine) -> None:
    before, truth = some_world(0).indexed(engine)
    content = encode(engine, before)
    after = decode(engine, content, Logs)
    assert encode(engine, after) == content
    for name in ("user_ids", "age", "country", "track_ids", "popularity", "genre"):
        assert_array_equal(
            engine.to_host(getattr(after, name)), engine.to_host(getattr(before, name))
        )
    for name in ("members", "registration", "history", "favorites", "plays", "month"):
        assert_array_equal(
            dense(engine, getattr(after, name)), dense(engine, getattr(before, name))
        )
    assert (after.countries, after.notes) == (before.countries, before.notes)
    assert after.users("test", "target") == before.users("test", "target")
    assert (after.days, after.split_rule) == (before.days, before.split_rule)
    again = decode(engine, encode(engine, truth), GroundTruth)
    assert encode(engine, again) == encode(engine, truth)
    for name in ("tracks", "favorites", "playlists"):
        assert_array_equal(dense(engine, getattr(again, name)), dense(engine, getattr(truth, name)))


def test_encoding_repeats_and_is_plain_safetensors(engine: Engine, tmp_path: Path) -> None:
    content = encode(engine, whole(engine))
    assert content == encode(engine, whole(engine))
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with safe_open(path, "numpy") as file:
        assert "one.matrix.indptr" in file.keys()  # noqa: SIM118 - the file is no dict
        assert_array_equal(file.get_tensor("whole"), [[0, 1, 2], [3, 4, 5]])


def test_strided_arrays_are_saved_as_they_read(engine: Engine) -> None:
    @dataclass(frozen=True)
    class One:
        a: Array

    turned = engine.asarray(np.arange(6, dtype=np.float32).reshape(2, 3)).T
    found = load_tensors(encode(engine, One(turned)))["a"]
    assert_array_equal(found, [[0, 3], [1, 4], [2, 5]])


def test_parquet_bytes() -> None:
    columns = {"id": np.arange(3), "name": ["a", None, "c"], "list": [[1], [], [2, 3]]}
    found = pq.read_table(io.BytesIO(parquet_bytes(columns))).to_pydict()
    assert found == {"id": [0, 1, 2], "name": ["a", None, "c"], "list": [[1], [], [2, 3]]}
    assert parquet_bytes(columns) == parquet_bytes(columns)


# -- writing ---------------------------------------------------------------------------------------


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_write(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert files_of(tmp_path) == {"a/b.bin": b"two"}


@pytest.mark.parametrize(("owner", "moment"), [(os, "fsync"), (Path, "replace")])
@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), UserError, r"a\.bin .* disk is full"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), UserError, r"a\.bin .*choose another place"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    moment: str,
    error: BaseException,
    told: type[BaseException],
    words: str | None,
) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(owner, moment, fail)
    with pytest.raises(told, match=words):
        write_atomically(path, b"new")
    assert files_of(tmp_path) == {"a.bin": b"old"}


def test_the_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, rename = os.fsync, Path.replace

    def note_sync(handle: int) -> None:
        order.append("sync")
        sync(handle)

    def note_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        assert path.read_bytes() == b"content"
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    write_atomically(tmp_path / "a.bin", b"content")
    assert order == ["sync", "rename", "sync"]


# -- damaged files ---------------------------------------------------------------------------------


def safetensors(**changes: np.ndarray[Any, Any]) -> bytes:
    """A matrix of two rows and three columns, with parts replaced."""
    parts: dict[str, np.ndarray[Any, Any]] = {
        "matrix.indptr": np.array([0, 1, 2], np.int64),
        "matrix.indices": np.array([0, 2], np.int32),
        "matrix.data": np.array([1, 1], np.float32),
    }
    parts |= {f"matrix.{name}": value for name, value in changes.items()}
    return save_tensors(parts, {"values": json.dumps({"matrix.shape": [2, 3], "words": []})})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 64,
        safetensors()[:-1],
        safetensors()[:20],
        safetensors(indptr=np.array([0, 2], np.int64)),
        safetensors(indptr=np.array([0, 2, 1], np.int64)),
        safetensors(indptr=np.array([0, 1, 2**40], np.int64)),
        safetensors(indices=np.array([0, 3], np.int32)),
        safetensors(indices=np.array([-1, 2], np.int32)),
        safetensors(data=np.ones(3, np.float32)),
        save_tensors({}, {"values": "[" * 100_000}),
        save_tensors({}, {"values": "1" * 10_000}),
        save_tensors({}, {"values": "{}"}),
        save_tensors({}),
    ],
)
def test_a_damaged_value_is_one_sentence(engine: Engine, content: bytes) -> None:
    assert decode(engine, safetensors(), Inner).matrix.shape == (2, 3)
    sentence = "^x is damaged or of another version: do it again$"
    with pytest.raises(UserError, match=sentence), guarded("x", "do it again"):
        decode(engine, content, Inner)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"1" * 5000, b"[" * 100_000, b"\xff", b'"x"']
)
def test_damaged_json_is_one_sentence(content: bytes) -> None:
    with pytest.raises(UserError, match="x is damaged"), guarded("x", "again"):
        read_json(content, dict)


@pytest.mark.parametrize("cut", [0, 4, -1, -9])
def test_damaged_parquet_is_one_sentence(cut: int) -> None:
    content = parquet_bytes({"a": np.arange(3)})
    assert read_table(content).num_rows == 3
    with pytest.raises(UserError, match="x is damaged"), guarded("x", "again"):
        read_table(content[:cut])


def test_a_table_is_read_without_threads() -> None:
    """One that still holds the content when the interpreter ends would abort the process."""
    content = parquet_bytes({name: np.arange(3) for name in "abcdefgh"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork has none of this one's threads
        child = os.fork()
    if not child:
        more = 99
        try:
            read_table(content)
            more = len(os.listdir("/proc/self/task")) - 1
        finally:
            os._exit(more)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
