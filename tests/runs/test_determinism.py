"""The same configuration gives the same bytes, in another process and on several threads too."""

from __future__ import annotations

from pathlib import Path

from tests.runs.helpers import (
    Result,
    differing,
    lasting,
    learned,
    manifest,
    results,
    several_threads,
    synthetic,
)
from tests.runs.stages import Done, Stopper, stopping


def test_another_process_writes_the_same_bytes(
    stopper: Stopper, done: Done, tmp_path: Path
) -> None:
    """With its own hash seed, and without a bar where there is no terminal."""
    assert stopper(*synthetic(), "--out", tmp_path / "run") == Result(0, "", "")
    assert len(lasting(done[0])) == 95
    assert not differing(lasting(tmp_path / "run"), lasting(done[0]))
    assert results(tmp_path / "run")["rows"] == results(done[0])["rows"]


def test_several_threads_write_the_same_bytes_each_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with stopping(several_threads()) as run:
        for place in (one, other):
            assert run(*synthetic(), "--out", place) == Result(0, "", "")
    assert not differing(lasting(one), lasting(other))
    assert results(one)["rows"] == results(other)["rows"]
    assert manifest(one)["identity"]["threads"] == 3


def test_the_manifest_lists_every_stage_and_nothing_of_the_clock(
    done: tuple[Path, Result],
) -> None:
    content = manifest(done[0])
    assert set(content) == {"identity", "keys", "stages"}
    assert set(content["identity"]) == {"engine", "threads", "config", "data", "versions"}
    timed = {stage["name"] for stage in results(done[0])["stages"]}
    assert set(content["stages"]) == timed - {"evaluation"} | {"config", "results", "report"}
    assert all(
        len(digest) == 64 for files in content["stages"].values() for digest in files.values()
    )
    assert learned(done[0])
