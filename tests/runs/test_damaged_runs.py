"""A damaged run is refused, and the file named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load, save

from gpu_coldstart.runs.artifacts import parquet_bytes, read_table
from gpu_coldstart.strategies.carousels import ARMS
from tests.builtin import EVERY_STRATEGY
from tests.runs.helpers import (
    command,
    differing,
    lasting,
    listed,
    manifest,
    refused,
    results,
    snapshot,
    synthetic,
    tabled,
)
from tests.runs.stages import Done

FILES = (
    "config.toml",
    "artifacts/logs.safetensors",
    "artifacts/truth.safetensors",
    "artifacts/tt-svd/input-features.state.safetensors",
    "artifacts/tt-svd/space.safetensors",
    "artifacts/tt-svd/segments.safetensors",
    "artifacts/tt-svd/segments.parquet",
    "artifacts/tt-svd/segments.tracks.parquet",
    "artifacts/ut-als/network.safetensors",
    "artifacts/ut-als/network.json",
    "artifacts/ut-als/predictions.safetensors",
    "artifacts/ut-als/semi.measures.parquet",
    "artifacts/ut-als/predictions.warm.safetensors",
    "artifacts/ut-als/examples.parquet",
    "recommendations/ut-als/semi.parquet",
    "recommendations/ut-als/carousel-semi.parquet",
    "artifacts/analysis/strata.parquet",
    "tables/strata.csv",
)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def make_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [flip, truncate, empty, delete, make_a_directory]


@pytest.mark.parametrize(
    ("damage", "name"),
    # Every file, and every damage to some; two of each would only say the same again.
    [(DAMAGES[i % len(DAMAGES)], name) for i, name in enumerate(FILES)],
)
def test_a_damaged_file_is_named(run: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(run / name)
    before = snapshot(run)
    result = command(*synthetic(), "--out", run, "--resume")
    refused(result, str(run / name), "damaged or missing", "--overwrite")
    del before[str(run / "run.log")]  # may tell of the attempt
    assert {name: content for name, content in snapshot(run).items() if name in before} == before


def test_every_file_of_the_manifest_is_of_a_kind_tested(done: Done) -> None:
    names = {*listed(done[0])} - {"results.md"} - tabled()
    assert tabled() < set(listed(done[0]))
    tested = {Path(kind).name.replace("semi", "").replace("input-features", "") for kind in FILES}
    strategies = sorted(EVERY_STRATEGY, key=len, reverse=True)
    for name in names:
        plain = Path(name).name
        for strategy in strategies:
            plain = plain.removeprefix(strategy)
        for arm in ARMS:
            plain = plain.replace(f"carousel-{arm}", "carousel-")
        assert plain in tested, name


@pytest.mark.parametrize("lost", ["results.json", "report.html", ""])
def test_a_damaged_report_is_written_again(run: Path, done: Done, lost: str) -> None:
    """Nothing is read from it."""
    flip(run / "results.md")
    if lost:
        (run / lost).unlink()
    assert command(*synthetic(), "--out", run, "--resume").status == 0
    assert not differing(lasting(run), lasting(done[0]))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"rows": [1'])
def test_results_that_cannot_be_read_are_written_again(
    run: Path, done: Done, content: bytes
) -> None:
    (run / "results.json").write_bytes(content)
    assert command(*synthetic(), "--out", run, "--resume").status == 0
    assert results(run)["rows"] == results(done[0])["rows"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b'"x"', b"[{}]", b'[{"name": 1}]', b"\xff", b"[" * 100_000),
        b'[{"name": "x", "seconds": "a", "peak_rss_mb": 1}]',
        b'[{"name": "x", "seconds": 1' + b"0" * 400 + b', "peak_rss_mb": 1}]',
    ],
)
def test_damaged_times_are_named(run: Path, done: Done, content: bytes) -> None:
    """They are for information only, and so can be deleted."""
    path = run / "times.json"
    path.write_bytes(content)
    if content != b"[]":
        refused(command(*synthetic(), "--out", run, "--resume"), str(path), "damaged", "delete it")
        path.unlink()
    result = command(*synthetic(), "--out", run, "--resume")
    assert result.status == 0, result.err
    assert not differing(lasting(run), lasting(done[0]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"identity": {}}',
        b'{"identity": {}, "stages": 5}',
        b'{"identity": {}, "stages": {"logs": 5}}',
        b'{"identity": 5, "stages": {}}',
        b'{"identity": {"data": 5}, "stages": {}}',
        b'{"identity": {"data": {"users.parquet": 5}}, "stages": {}}',
        b'{"identity": {"config": 5}, "stages": {}}',
        b'{"identity": {}, "stages": []}',
    ],
)
@pytest.mark.parametrize("options", [["--resume"], []])
def test_a_damaged_manifest_is_named(run: Path, content: bytes, options: list[str]) -> None:
    (run / "manifest.json").write_bytes(content)
    before = snapshot(run)
    result = command(*synthetic(), "--out", run, *options)
    refused(result, str(run / "manifest.json"), "damaged", f"delete {run}")
    assert snapshot(run) == before


def test_a_damaged_run_can_be_overwritten(run: Path, done: Done) -> None:
    flip(run / "artifacts/logs.safetensors")
    delete(run / "recommendations/tt-svd/semi.parquet")
    refused(command(*synthetic(), "--out", run), "damaged or missing", "--overwrite")
    assert command(*synthetic(), "--out", run, "--overwrite").status == 0
    assert not differing(lasting(run), lasting(done[0]))


def shorter(content: bytes) -> bytes:
    """The same arrays or columns, each without its last row."""
    if content[:4] == b"PAR1":
        table = read_table(content)
        return parquet_bytes(dict(zip(table.column_names, table.slice(1).columns, strict=True)))
    length = int.from_bytes(content[:8], "little")
    values = json.loads(content[8 : 8 + length])["__metadata__"]
    return save({name: array[:-1].copy() for name, array in load(content).items()}, values)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("artifacts/logs.safetensors", "segments.k=5"),
        ("artifacts/tt-svd/space.safetensors", "segments.k=5"),
        ("artifacts/tt-svd/segments.safetensors", "strategies.soft_segments=2"),
        ("artifacts/tt-svd/predictions.safetensors", "strategies.soft_segments=2"),
        ("artifacts/tt-svd/segments.parquet", "evaluation.bootstrap=30"),
        ("recommendations/tt-svd/semi.parquet", "evaluation.bootstrap=30"),
    ],
)
def test_files_that_do_not_fit_together_are_named(run: Path, name: str, setting: str) -> None:
    """The manifest vouches for them, so that only a later stage can tell."""
    content = shorter((run / name).read_bytes())
    (run / name).write_bytes(content)
    listing = manifest(run)
    for files in listing["stages"].values():
        if name in files:
            files[name] = hashlib.sha256(content).hexdigest()
    (run / "manifest.json").write_text(json.dumps(listing))
    result = command(*synthetic(), "--set", setting, "--out", run, "--resume")
    refused(result, str(run / name), "damaged", "--overwrite")
