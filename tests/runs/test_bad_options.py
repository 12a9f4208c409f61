"""Settings that do not fit, and places that cannot be written, are refused in one sentence."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.helpers import (
    Result,
    Tables,
    command,
    differing,
    events,
    lasting,
    refused,
    snapshot,
    synthetic,
    write,
)
from tests.runs.stages import Stopper

# -- settings that do not fit ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("segments.k=121", "more than the 120 warm users"),
        ("evaluation.k=201", "more than the 200 there are"),
        ("evaluation.k=5,201", "more than the 200 there are"),
        ("tt_svd.dimension=201", "more than the 200 tracks"),
    ],
)
def test_a_setting_larger_than_the_data(tmp_path: Path, setting: str, words: str) -> None:
    result = command(*synthetic(), "--set", setting, "--out", tmp_path / "run")
    refused(result, f"'{setting.partition('=')[0]}'", words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "setting",
    ["segments.k=120", "evaluation.k=200", "tt_svd.dimension=200", "ut_als.factors=250"],
)
def test_a_setting_as_large_as_the_data_will_do(tmp_path: Path, setting: str) -> None:
    key, _, value = setting.partition("=")
    options = [*synthetic(**{key.replace(".", "__"): value}), "--strategies", "popularity,semi"]
    result = command(*options, "--out", tmp_path / "run")
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    ("setting", "space"), [("ut_als.factors=999999999", "ut-als"), ("mlp.hidden=999999999", "both")]
)
def test_sizes_beyond_the_memory(tmp_path: Path, setting: str, space: str) -> None:
    arguments = ["--space", space, "--set", setting, "--out", tmp_path / "run"]
    refused(command(*synthetic(), *arguments), "memory")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("segments.k", "has no '='"),
        ("segments.kk=5", "'segments.kk' is not known"),
        ("k=5", "did you mean evaluation.k or segments.k?"),
        ("segments.k=five", "but a whole number"),
        ("segments.k=-1", "at least 0"),
        ("seed=99999999999999999999", "at most"),
        ("mlp.learning_rate=nan", "mlp.learning_rate"),
        ("mlp.learning_rate=inf", "mlp.learning_rate"),
        ("strategies.names=jukebox", "use one of"),
        ("evaluation.k=10,x", "needs a list"),
        ("world.n_tracks=3", "world.n_tracks is 3"),
        ("world.cold_week=yesterday", "world.cold_week"),
        ("evaluation.protocol=code", "use one of own, paper, release"),
        ("segments.popularity=plays", "use one of members, listens"),
        ("segments.restarts=0", "at least 1"),
    ],
)
def test_a_setting_that_is_none(tmp_path: Path, setting: str, words: str) -> None:
    result = command("--preset", "tiny", "--set", setting, "--out", tmp_path / "run")
    refused(result, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "x"], "'seed' is 'x'"),
        (["--seed", "-1"], "'seed' is -1"),
        (["--seed", "1.5"], "'seed' is 1.5"),
        (["--k", "x"], "'evaluation.k' needs a list of whole numbers"),
        (["--k", "0"], "'evaluation.k' is 0"),
        (["--k", ""], "'evaluation.k' needs a list"),
        (["--strategies", "magic"], "'strategies.names' is 'magic'"),
        (["--strategies", ""], "'strategies.names' needs a list"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--dataset", "events", "--data", ""], "--data"),
        (["--dataset", "events", "--data", "~nosuchuser/x"], "'data' is '~nosuchuser/x'"),
    ],
)
def test_an_option_that_cannot_be(tmp_path: Path, arguments: list[str], words: str) -> None:
    refused(command(*arguments, "--out", tmp_path / "run"), words)
    assert not list(tmp_path.iterdir())


def test_no_batch_to_train_on(tmp_path: Path) -> None:
    """Only the data tell how many warm users there are."""
    options = synthetic(mlp__drop_last="true", mlp__batch_size=121)
    result = command(*options, "--out", tmp_path / "run")
    refused(result, "'mlp.drop_last'", "120 warm users", "batch of 121", "mlp.batch_size lower")
    assert not list(tmp_path.iterdir())


# -- where to write ----------------------------------------------------------------------------


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    for out in ("file", "file/run", "file/a/b"):
        refused(command(*synthetic(), "--out", tmp_path / out), str(tmp_path / "file"), "--out")
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_name_too_long(tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / ("x" * 400) / "run"
    refused(command(*synthetic(), "--out", out, *options), "x" * 400)
    assert not list(tmp_path.iterdir())


def test_a_place_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        closed(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    refused(command(*synthetic(), "--out", tmp_path / "run"), "Permission denied", "--out")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """A disk that takes so many more files before it is full."""
    left: list[int | None] = [None]

    def fsync(handle: int) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)

    def allow(files: int | None) -> None:
        left[0] = None if files is None else 2 * files  # each is synced, and its directory

    return allow


def test_a_full_disk_at_the_start_leaves_nothing(
    tmp_path: Path, quota: Callable[[int | None], None]
) -> None:
    quota(0)
    refused(command(*synthetic(), "--out", tmp_path / "a/run"), "the disk is full", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("files", [1, 2, 4, 6, 9, 15, 25, 40, 50])
def test_a_full_disk_later_can_be_resumed(
    tmp_path: Path, done: tuple[Path, Result], quota: Callable[[int | None], None], files: int
) -> None:
    out = tmp_path / "run"
    quota(files)
    refused(command(*synthetic(), "--out", out), "the disk is full", "free some space")
    assert not list(out.rglob("*.part"))
    quota(None)
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0, result.err
    assert not differing(lasting(out), lasting(done[0]))


@pytest.mark.parametrize("name", ["run.log", "times.json"])
def test_a_full_disk_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opened = Path.open

    def open_(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name.startswith(name) and {*arguments, options.get("mode")} & {"a", "wb"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_)
    refused(command(*synthetic(), "--out", tmp_path / "run"), "the disk is full", name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB, where this machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    arguments = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here ({error})")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_in_fact(small_disk: Path, done: tuple[Path, Result]) -> None:
    out = small_disk / "run"
    refused(command(*synthetic(), "--out", out), "the disk is full")
    assert not list(out.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert command(*synthetic(), "--out", out, "--resume").status == 0
    assert not differing(lasting(out), lasting(done[0]))


def test_a_process_refuses_in_one_line(stopper: Stopper, tables: Tables, tmp_path: Path) -> None:
    """What libraries write past Python's streams would show."""
    changed = tables | {"users": tables["users"].drop_columns(["user_id"])}
    data = write(changed, tmp_path / "data")
    result = stopper(*events(data), "--out", tmp_path / "run")
    refused(result, "users.parquet has no column 'user_id'")
    assert not (tmp_path / "run").exists()
