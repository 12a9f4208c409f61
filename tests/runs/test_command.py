"""The command's options, what it prints and what it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpu_coldstart import __version__
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.runs.paths import VOLATILE
from gpu_coldstart.strategies.carousels import ARMS
from tests.builtin import SPACES, STRATEGIES
from tests.runs.helpers import (
    SIZES,
    WORLD,
    Result,
    Tables,
    column,
    command,
    learned,
    listed,
    one_thread,
    refused,
    results,
    synthetic,
    tabled,
    track_lists,
)

MEASURES = ("precision", "recall", "ndcg")
MEMORY = ("peak_rss_mb", "peak_gpu_mb", "reserved_gpu_mb")
OPTIONS = (
    *("--dataset", "--data", "--preset", "--space", "--engine", "--config", "--set", "--out"),
    *(
        "--resume",
        "--overwrite",
        "--seed",
        "--k",
        "--strategies",
        "--help",
        "--version",
        "--protocol",
    ),
)
FEW = ("--space", "tt-svd", "--strategies", "popularity")
Done = tuple[Path, Result]


# -- help --------------------------------------------------------------------------------------


def test_help_tells_every_option() -> None:
    result = command("--help")
    assert result.status == 0
    assert not result.err
    for option in OPTIONS:
        assert re.search(rf"{option}\b", result.out), option
    for choice in ("synthetic", "events", "tafeng", "tiny", "small", "paper", "both", "cuda"):
        assert choice in result.out
    for strategy in STRATEGIES:
        assert strategy in result.out
    assert "examples:" in result.out
    assert "exit status: 0" in result.out


def test_version_is_told() -> None:
    result = command("--version")
    assert (result.status, result.out.strip()) == (0, f"gpu_coldstart {__version__}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--engine", "tpu"],
        ["--preset", "huge"],
        ["--dataset", "lastfm"],
        ["--space", "word2vec"],
        ["--nonsense"],
        ["extra"],
    ],
)
def test_an_option_that_is_none_is_refused(arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.status == 2
    assert "error: " in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


# -- what a finished run says and leaves -------------------------------------------------------


def test_it_says_which_engine_and_why_and_every_stage(done: Done) -> None:
    lines = done[1].out.splitlines()
    assert lines[0].startswith(f"gpu_coldstart {__version__}: engine cpu: ")
    stages = [line for line in lines if re.match(r"\[ *\d+/39\] ", line)]
    assert len(stages) == 39
    assert all(re.search(r" \d+\.\d s$", line) for line in stages)
    assert not done[1].err


def test_it_prints_the_table_of_both_spaces(done: Done) -> None:
    text = done[1].out
    header = next(line for line in text.splitlines() if line.startswith("| Strategy"))
    for space in ("TT-SVD", "UT-ALS"):
        for measure in "PRN":
            assert f"{space} {measure}@10" in header
    body = [line for line in text.splitlines() if line.startswith("| ") and "±" in line]
    assert len(body) == len(STRATEGIES)
    assert all(line.count("±") == 6 for line in body)


def test_it_leaves_what_it_promises(done: Done) -> None:
    out = done[0]
    whole = ("config.toml", "results.json", "results.md", "report.html", "run.log", "manifest.json")
    for name in whole:
        assert (out / name).stat().st_size > 0
    recommended = {str(path.relative_to(out)) for path in out.glob("recommendations/*/*")}
    lists = (*STRATEGIES, *(f"carousel-{arm}" for arm in ARMS))
    assert recommended == {f"recommendations/{a}/{b}.parquet" for a in SPACES for b in lists}
    found = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert found == {".parquet", ".csv", ".safetensors", ".toml", ".json", ".md", ".log", ".html"}
    assert {str(path.relative_to(out)) for path in out.glob("*/*.csv")} <= tabled()
    assert "artifacts/, tables/" in done[1].out.splitlines()[-1]
    unlisted = {path.name for path in out.iterdir() if path.is_file()} - set(listed(out))
    assert unlisted == {"manifest.json", *VOLATILE}


def test_the_log_holds_what_was_said(done: Done) -> None:
    said = [line for line in done[1].out.splitlines() if line]
    logged = iter(_logged(done[0]))
    assert all(line in logged for line in said)  # in this order


def test_the_log_tells_the_command_line_the_environment_and_every_epoch(done: Done) -> None:
    lines = _logged(done[0])
    line = next(line for line in lines if line.startswith("command line: "))
    assert "--set segments.k=6" in line
    versions = next(line for line in lines if line.startswith("versions: "))
    assert f"gpu-coldstart {__version__}" in versions
    assert "torch " in versions
    assert any(re.fullmatch(r"engine: cpu.*, threads: \d+", line) for line in lines)
    epochs = [line for line in lines if line.startswith("epoch ")]
    told = r"epoch (\d) of 2: loss \d+\.\d+, validation cosine -?\d\.\d+"
    matches = [re.fullmatch(told, line) for line in epochs]
    assert [match[1] for match in matches if match] == ["1", "2", "1", "2"]


def _logged(out: Path) -> list[str]:
    """The lines of the log without their times."""
    lines = [line.partition(" ")[2] for line in (out / "run.log").read_text().splitlines()]
    return [line for line in lines if line]


def test_results_json_has_the_rows(done: Done) -> None:
    rows = results(done[0])["rows"]
    places = [(row["space"], row["strategy"], row["k"]) for row in rows]
    assert places == [(space, strategy, 10) for space in SPACES for strategy in STRATEGIES]
    for row in rows:
        assert row["users"] == WORLD["n_test"]
        for measure in MEASURES:
            assert type(row[measure]) is float
            assert 0 <= row[measure] <= 1
            assert 0 <= row[f"{measure}_std"] <= 1
            low, high = row[f"{measure}_ci95"]
            assert 0 <= low <= row[measure] <= high <= 1
    assert max(row["ndcg"] for row in rows) > 0.05


def test_results_json_has_the_stages(done: Done) -> None:
    stages = results(done[0])["stages"]
    learned = ("space", "segments", "descriptions", "network", "predictions", "predictions.warm")
    states = {
        "input-features": ("input-features.state",),
        "best": ("ridge.state", "best.state"),  # Ridge is an expert of Best
    }
    ways = (part for name in STRATEGIES for part in (*states.get(name, ()), name))
    each = (*learned, *ways, "examples", "carousels")
    names = ["logs", *(f"{space}/{name}" for space in SPACES for name in each)]
    names += ["evaluation", "analysis"]
    assert [stage["name"] for stage in stages] == names
    for stage in stages:
        assert stage.keys() == {"name", "seconds", *MEMORY}
        assert stage["peak_gpu_mb"] == stage["reserved_gpu_mb"] == 0
        assert stage["seconds"] >= 0
        assert 10 < stage["peak_rss_mb"] < 1e5


def test_results_json_tells_the_run(done: Done) -> None:
    content = results(done[0])
    assert (content["engine"], content["dataset"]) == ("cpu", "synthetic")
    assert (content["preset"], content["protocol"], content["seed"]) == ("tiny", "own", 0)
    assert content["versions"]["gpu-coldstart"] == __version__
    assert {"python", "numpy", "torch"} <= set(content["versions"])
    assert all(isinstance(value, str) for value in content["versions"].values())
    assert all(isinstance(line, str) for line in content["warnings"])


def test_results_md_has_the_table_of_the_run(done: Done) -> None:
    text = (done[0] / "results.md").read_text()
    printed = [line for line in done[1].out.splitlines() if line.startswith("|")]
    assert [line for line in text.splitlines() if line.startswith("|")] == printed
    row = next(row for row in results(done[0])["rows"] if row["strategy"] == "semi")
    cell = f"{100 * row['precision']:.2f} ± {100 * row['precision_std']:.2f}"
    assert cell in next(line for line in text.splitlines() if line.startswith("| Semi-Pers."))
    for note in results(done[0])["warnings"]:
        assert note in text


def test_every_stage_below_popularity_is_named(done: Done) -> None:
    content = results(done[0])
    for row in content["rows"]:
        chart = next(
            other["ndcg"]
            for other in content["rows"]
            if other["strategy"] == "popularity" and other["space"] == row["space"]
        )
        told = f"NDCG@10 {100 * row['ndcg']:.2f} against {100 * chart:.2f}"
        assert any(told in note for note in content["warnings"]) == (row["ndcg"] < chart)


def test_recommendations_are_lists_of_distinct_known_tracks(done: Done, tables: Tables) -> None:
    known = set(column(tables["tracks"], "track_id"))
    for path in track_lists(done[0]):
        table = pq.read_table(path)
        assert table.column_names == ["user_id", "cohort", "rank", "track_id", "score"]
        assert table.num_rows == WORLD["n_test"] * 10
        tracks = table.column("track_id").to_numpy().reshape(-1, 10)
        assert all(len(set(row)) == 10 for row in tracks.tolist())
        assert set(tracks.ravel().tolist()) <= known
        scores = table.column("score").to_numpy().reshape(-1, 10)
        assert (np.diff(scores, axis=1) <= 0).all()
        assert (table.column("rank").to_numpy().reshape(-1, 10) == np.arange(1, 11)).all()


def test_the_loss_of_each_als_iteration_is_told_and_falls(done: Done) -> None:
    losses = results(done[0])["losses"]["ut-als"]
    assert len(losses) == int(SIZES["ut_als.iterations"])
    assert (np.diff(losses) < 0).all()
    assert " ".join(f"{loss:.5g}" for loss in losses) in done[1].out


def test_segments_have_their_popular_tracks(done: Done) -> None:
    table = pq.read_table(done[0] / "artifacts/tt-svd/segments.tracks.parquet")
    assert table.column_names == ["segment", "rank", "track_id", "probability"]
    found = table.to_pylist()
    assert {row["segment"] for row in found} == set(range(int(SIZES["segments.k"])))
    assert all(0 < row["probability"] <= 1 for row in found)
    for before, row in pairwise(found):
        if row["segment"] == before["segment"]:
            assert row["rank"] == before["rank"] + 1
            assert row["probability"] <= before["probability"]


def test_segments_are_described(done: Done) -> None:
    table = pq.read_table(done[0] / "artifacts/tt-svd/segments.parquet")
    assert table.column_names == ["segment", "size", "country", "age_class", "genres"]
    assert table.num_rows == int(SIZES["segments.k"])
    assert sum(column(table, "size")) == WORLD["n_warm"]
    assert min(column(table, "size")) > 0


# -- options -----------------------------------------------------------------------------------


def test_the_configuration_runs_again_to_the_same(done: Done, tmp_path: Path) -> None:
    result = command("--config", done[0] / "config.toml", "--out", tmp_path / "again")
    assert result.status == 0, result.err
    assert listed(tmp_path / "again") == listed(done[0])
    assert results(tmp_path / "again")["rows"] == results(done[0])["rows"]


def test_a_setting_lies_over_the_file(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--config", done[0] / "config.toml", "--set", "segments.k=3", *FEW]
    assert command(*arguments, "--seed", "4", "--out", out).status == 0
    config = resolve(files=[out / "config.toml"])
    assert (config.segments.k, config.seed) == (3, 4)
    assert (config.spaces, config.strategies.names) == (("tt-svd",), ("popularity",))
    assert config.tt_svd.dimension == 8


def test_several_lengths_are_measured(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = command(*synthetic(), *FEW, "--k", "25,50,10", "--out", out)
    assert result.status == 0, result.err
    rows = results(out)["rows"]
    assert [row["k"] for row in rows] == [25, 50, 10]
    for k in (25, 50, 10):
        assert f"Top {k}, in per cent, P of min({k}, truth):" in result.out
        assert f"TT-SVD P@{k}" in (out / "results.md").read_text()
    alone = next(row for row in results(done[0])["rows"] if row["strategy"] == "popularity")
    assert rows[2] == alone
    table = pq.read_table(out / "recommendations/tt-svd/popularity.parquet")
    assert max(column(table, "rank")) == 50


def test_strategies_run_in_the_order_given(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--space", "ut-als", "--strategies", "soft,popularity"]
    result = command(*synthetic(), *options, "--out", out)
    assert result.status == 0, result.err
    assert [row["strategy"] for row in results(out)["rows"]] == ["soft", "popularity"]
    assert "Soft Allocation" in result.out
    assert "Semi-Pers." not in result.out


@pytest.mark.parametrize(
    ("option", "spaces"),
    [("tt-svd", ["tt-svd"]), ("ut-als", ["ut-als"]), ("both", ["tt-svd", "ut-als"])],
)
def test_a_space_can_be_chosen(option: str, spaces: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--space", option, "--strategies", "popularity", "--out", out]
    assert command(*synthetic(), *arguments).status == 0
    assert [row["space"] for row in results(out)["rows"]] == spaces
    assert sorted(path.name for path in (out / "recommendations").iterdir()) == spaces


def test_a_space_alone_is_what_it_is_beside_the_other(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--space", "ut-als", "--strategies", "semi,soft", "--out", out]
    assert command(*synthetic(), *arguments).status == 0
    whole = learned(done[0])
    alone = learned(out)
    tables = tabled() | {"artifacts/ut-als/examples.parquet"}  # of whichever strategy is ahead
    assert tables < set(alone)
    assert {name: whole[name] for name in alone if name not in tables} == {
        name: content for name, content in alone.items() if name not in tables
    }


def test_a_seed_changes_world_and_method(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command(*synthetic(), "--seed", "1", "--out", out).status == 0
    one, other = learned(done[0]), learned(out)
    assert set(one) == set(other)
    assert not {name for name in one if one[name] == other[name]}
    assert results(out)["seed"] == 1


def test_cpu_can_be_asked_for(tmp_path: Path) -> None:
    result = command(*synthetic(), *FEW, "--engine", "cpu", "--out", tmp_path / "run")
    assert result.status == 0
    assert "engine cpu: asked for" in result.out.splitlines()[0]


def test_without_out_it_writes_to_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*synthetic(), *FEW).status == 0
    assert (tmp_path / "runs/synthetic-tiny/results.json").exists()


def test_events_need_a_directory_and_others_have_none(tmp_path: Path) -> None:
    refused(command("--dataset", "events", "--out", tmp_path / "run"), "needs --data DIR")
    refused(command("--data", tmp_path, "--out", tmp_path / "run"), "--data is for --dataset")
    assert not list(tmp_path.iterdir())


# -- processes ---------------------------------------------------------------------------------


def test_the_installed_script_passes_on_the_status(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "gpu-coldstart"
    if not script.exists():
        pytest.skip("the package is not installed, so there is no script")
    arguments = [str(script), "run", "--config", str(tmp_path / "none.toml")]
    found = subprocess.run(arguments, capture_output=True, text=True, env=one_thread(), check=False)
    refused(Result(found.returncode, found.stdout, found.stderr), "none.toml cannot be read")
