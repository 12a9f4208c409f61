"""A run directory: what is kept, what goes, and what a kill leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpu_coldstart.errors import UserError
from gpu_coldstart.runs import store
from gpu_coldstart.runs.artifacts import write_atomically
from gpu_coldstart.runs.store import Manifest, RunDirectory

IDENTITY = {"seed": 3}
CONFIG = b"seed = 3\n"
KEYS = {name: f"key of {name}" for name in ("logs", "space", "x/space")}


def begun(path: Path, keys: Mapping[str, str] = KEYS, config: bytes = CONFIG) -> RunDirectory:
    run = RunDirectory(path, IDENTITY, {"config.toml": config}, keys)
    run.replace(run.look())
    return run


def resumed(
    path: Path, keys: Mapping[str, str] = KEYS, config: bytes = CONFIG
) -> tuple[RunDirectory, list[str]]:
    run = RunDirectory(path, IDENTITY, {"config.toml": config}, keys)
    earlier = Manifest.read(path)
    return run, [] if earlier is None else run.take_over(earlier)


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


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
    assert found["keys"] == {"config": run.keys["config"], "logs": KEYS["logs"]} | {
        "x/space": KEYS["x/space"]
    }
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
    again, stale = resumed(tmp_path)
    assert not stale
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

    monkeypatch.setattr(store, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        run.write("space", {"space.bin": b"def"})
    monkeypatch.undo()
    again, _ = resumed(tmp_path)
    assert again.has("logs")
    assert not again.has("space")


def test_a_run_killed_at_any_write_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"logs": {"logs.bin": b"abc"}, "space": {"a/b.bin": b"d", "a/c.bin": b"e"}}
    kills = 0
    while True:
        path = tmp_path / str(kills)
        left = [kills]

        def until_killed(place: Path, content: bytes, left: list[int] = left) -> None:
            if not left[0]:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.with_name(place.name + ".part").write_bytes(content[:1])
                raise KeyboardInterrupt
            left[0] -= 1
            return write_atomically(place, content)

        monkeypatch.setattr(store, "write_atomically", until_killed)
        run, finished = begun(path), True
        try:
            for name, files in stages.items():
                run.write(name, files)
        except KeyboardInterrupt:
            finished = False
        monkeypatch.undo()
        again, _ = resumed(path)
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
        Manifest.read(tmp_path)


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
    (tmp_path / "empty").mkdir()
    begun(tmp_path / "empty")
    assert files_of(tmp_path) == {"file": b"", "full/mine.txt": b"keep"}


# -- another configuration -------------------------------------------------------------------------


def test_only_stages_of_another_key_go(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write("logs", {"logs.bin": b"abc"})
    run.write("space", {"space.bin": b"old", "more.bin": b"old"})
    run.write("x/space", {"x.bin": b"x"})
    (tmp_path / "results.json").write_bytes(b"{}")
    keys = {"logs": KEYS["logs"], "space": "another key"}
    again, stale = resumed(tmp_path, keys, b"seed = 4\n")
    assert set(stale) == {"config", "space", "x/space"}
    assert files_of(tmp_path)["space.bin"] == b"old"  # until something is written
    again.write("space", {"space.bin": b"new"})
    files = files_of(tmp_path)
    manifest = json.loads(files.pop("manifest.json"))
    assert set(manifest["stages"]) == {"config", "logs", "space"}
    assert "stale" not in manifest
    assert files == {"config.toml": b"seed = 4\n", "logs.bin": b"abc", "space.bin": b"new"}


def test_a_kill_while_stale_files_are_removed_leaves_none_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path)
    run.write("logs", {"logs.bin": b"abc"})
    run.write("space", {"space.bin": b"old"})

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    keys = {"logs": KEYS["logs"]}
    again, _ = resumed(tmp_path, keys)
    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        again.write("logs", {"logs.bin": b"abc"})
    monkeypatch.undo()
    assert files_of(tmp_path)["space.bin"] == b"old"
    last, stale = resumed(tmp_path, keys)
    assert not stale
    last.write("logs", {"logs.bin": b"abc"})
    assert set(files_of(tmp_path)) == {"manifest.json", "config.toml", "logs.bin"}
    assert "stale" not in json.loads(files_of(tmp_path)["manifest.json"])


def test_checkpoints_stay_as_long_as_their_stage_is_to_be_done(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write("logs", {"artifacts/logs.bin": b"abc"})
    for name in ("logs", "x/space", "gone"):
        (tmp_path / f"artifacts/{name}.checkpoint").parent.mkdir(exist_ok=True)
        (tmp_path / f"artifacts/{name}.checkpoint").write_bytes(b"state")
    again, _ = resumed(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.checkpoint")}
    assert left == {"artifacts/x/space.checkpoint"}
    again.write("x/space", {"artifacts/x/space.bin": b"x"})
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_complete_is_every_stage_and_the_results(tmp_path: Path) -> None:
    run = begun(tmp_path, {"logs": "1", "results": "2", "report": "3"})
    for stage in ("logs", "results", "report"):
        assert not run.complete
        run.write(stage, {})
    assert not run.complete
    for name in ("results.json", "report.html"):
        (tmp_path / name).write_bytes(b"{}")
    assert run.complete
