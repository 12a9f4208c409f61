"""The same configuration gives the same bytes, in another process too."""

from __future__ import annotations

from pathlib import Path

from tests.runs.helpers import (
    Result,
    differing,
    finished,
    fresh_process,
    lasting,
    learned,
    manifest,
    results,
    synthetic,
)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """With their own hash seeds, and with as many threads as they would take anywhere."""
    places = [tmp_path / "one", tmp_path / "other"]
    for place in places:
        with finished(fresh_process(*synthetic(), "--out", place, one=False)) as result:
            assert result.status == 0, result.err
            assert not result.err  # no bar where there is no terminal
            assert "\r" not in result.out
    assert len(lasting(places[0])) == 69
    assert not differing(lasting(places[0]), lasting(places[1]))
    assert results(places[0])["rows"] == results(places[1])["rows"]


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
