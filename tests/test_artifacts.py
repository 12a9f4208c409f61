"""What a run leaves on disk: whole or not at all, and what comes back of it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load as load_tensors

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Csr
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs import artifacts
from gpu_coldstart.runs.artifacts import (
    RunDirectory,
    decode,
    encode,
    parquet_bytes,
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
    for name in ("members", "registration", "history", "favorites", "plays"):
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


@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, code: int
) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def fail(*args: Any) -> None:
        raise OSError(code, os.strerror(code))

    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UserError, match=r"a\.bin") as caught:
        write_atomically(path, b"new")
    assert ("disk is full" in str(caught.value)) == (code == errno.ENOSPC)
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


# -- a run directory -------------------------------------------------------------------------------

IDENTITY = {"seed": 3}


def begun(path: Path) -> RunDirectory:
    run = RunDirectory(path, IDENTITY, {"config.toml": b"seed = 3\n"})
    run.check()
    return run


def same(earlier: dict[str, Any]) -> str | None:
    return None if earlier == IDENTITY else "the seed differs"


def test_nothing_is_written_before_the_first_stage(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    begun(path)
    assert not (tmp_path / "deep").exists()


def test_manifest(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    assert not run.has("logs")
    run.write("logs", {"artifacts/logs.bin": b"abc"})
    assert run.has("logs")
    run.write("x/space", {"artifacts/x/space.bin": b"def", "artifacts/x/more.bin": b""})
    found = json.loads((tmp_path / "run" / "manifest.json").read_bytes())
    assert found["identity"] == IDENTITY
    assert found["stages"] == {
        "config": {"config.toml": hashlib.sha256(b"seed = 3\n").hexdigest()},
        "logs": {"artifacts/logs.bin": hashlib.sha256(b"abc").hexdigest()},
        "x/space": {
            "artifacts/x/space.bin": hashlib.sha256(b"def").hexdigest(),
            "artifacts/x/more.bin": hashlib.sha256(b"").hexdigest(),
        },
    }
    assert set(files_of(tmp_path / "run")) == {
        "manifest.json",
        "config.toml",
        "artifacts/logs.bin",
        "artifacts/x/space.bin",
        "artifacts/x/more.bin",
    }


def test_resume(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write("logs", {"a/logs.bin": b"abc"})
    (tmp_path / "a" / "space.bin.part").write_bytes(b"half")
    again = begun(tmp_path)
    assert again.resume(same)
    assert again.has("logs")
    assert not again.has("space")
    assert again.read("logs") == {"a/logs.bin": b"abc"}
    assert not (tmp_path / "a" / "space.bin.part").exists()
    again.write("space", {"a/space.bin": b"def"})
    assert set(json.loads((tmp_path / "manifest.json").read_bytes())["stages"]) == {
        "config",
        "logs",
        "space",
    }


def test_a_stage_killed_before_the_manifest_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path)
    run.write("logs", {"logs.bin": b"abc"})

    def killed(path: Path, content: bytes) -> None:
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        write_atomically(path, content)

    monkeypatch.setattr(artifacts, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        run.write("space", {"space.bin": b"def"})
    monkeypatch.undo()
    again = begun(tmp_path)
    again.resume(same)
    assert again.has("logs")
    assert not again.has("space")


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert not run.resume(same)
    assert files_of(tmp_path) == {}
    run.write("logs", {"logs.bin": b"abc"})
    assert begun(tmp_path).resume(same)


def test_a_run_killed_at_any_write_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"logs": {"logs.bin": b"abc"}, "space": {"a/b.bin": b"d", "a/c.bin": b"e"}}
    kills = 0
    while True:
        path = tmp_path / str(kills)
        left = [kills]

        def until_killed(place: Path, content: bytes, left: list[int] = left) -> None:
            if place.name.startswith("probe"):
                return write_atomically(place, content)
            if not left[0]:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.with_name(place.name + ".part").write_bytes(content[:1])
                raise KeyboardInterrupt
            left[0] -= 1
            return write_atomically(place, content)

        monkeypatch.setattr(artifacts, "write_atomically", until_killed)
        run, finished = begun(path), True
        try:
            for name, files in stages.items():
                run.write(name, files)
        except KeyboardInterrupt:
            finished = False
        monkeypatch.undo()
        again = begun(path)
        again.resume(same)
        for name, files in stages.items():
            if not again.has(name):
                again.write(name, files)
            assert again.read(name) == files
        found = files_of(path)
        assert found.pop("manifest.json")
        assert found == {
            "config.toml": b"seed = 3\n",
            "logs.bin": b"abc",
            "a/b.bin": b"d",
            "a/c.bin": b"e",
        }
        if finished:
            break
        kills += 1
    assert kills >= 8


def test_resume_refuses_what_differs(tmp_path: Path) -> None:
    begun(tmp_path).write("logs", {})
    with pytest.raises(UserError, match="because you said so"):
        begun(tmp_path).resume(lambda earlier: f"because you said so: {earlier['seed']}")


@pytest.mark.parametrize("damage", ["change", "delete", "cut"])
def test_reading_a_damaged_file(tmp_path: Path, damage: str) -> None:
    run = begun(tmp_path)
    run.write("logs", {"logs.bin": b"abc"})
    path = tmp_path / "logs.bin"
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(b"abd" if damage == "change" else b"ab")
    with pytest.raises(UserError, match=r"logs\.bin is damaged or missing"):
        run.read("logs")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stages": {}}', b"\xff\xfe"])
def test_a_damaged_manifest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        RunDirectory(tmp_path, IDENTITY, {}).resume(same)


def test_a_new_run_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write("logs", {"logs.bin": b"abc"})
    run.write("old", {"old/thing.bin": b"abc"})
    (tmp_path / "results.json").write_bytes(b"{}")
    (tmp_path / "mine.txt").write_bytes(b"keep")
    fresh = begun(tmp_path)
    assert not fresh.has("logs")
    fresh.write("logs", {"logs.bin": b"new"})
    found = files_of(tmp_path)
    assert found.pop("manifest.json")
    assert found == {"logs.bin": b"new", "config.toml": b"seed = 3\n", "mine.txt": b"keep"}
    assert set(fresh.stages) == {"config", "logs"}


def test_places_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="not a directory"):
        begun(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_bytes(b"keep")
    with pytest.raises(UserError, match="not empty and holds no run"):
        begun(tmp_path / "full")
    with pytest.raises(UserError, match="cannot be written"):
        begun(tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    begun(tmp_path / "empty")
    assert files_of(tmp_path) == {"file": b"", "full/mine.txt": b"keep"}
