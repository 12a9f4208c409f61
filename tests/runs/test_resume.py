"""A run that was stopped continues and ends with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builtin import STRATEGIES
from tests.runs.helpers import (
    Result,
    command,
    differing,
    files_below,
    lasting,
    manifest,
    refused,
    results,
    snapshot,
    synthetic,
)
from tests.runs.killing import MOMENTS, TIMING
from tests.runs.stages import KILLED, LAST, LEARNED, PARTS, STAGES, Done, Stopper, stages_of, whole


def half_written(out: Path) -> bool:
    return any(name.endswith(".part") for name in files_below(out))


# -- stopped -----------------------------------------------------------------------------------


def test_the_stages_are_all_there(done: Done) -> None:
    assert set(manifest(done[0])["stages"]) == set(STAGES)


def test_killed_in_every_stage_it_ends_the_same(
    stopper: Stopper, done: Done, tmp_path: Path
) -> None:
    """One run that dies in every stage on its way, in the first and the last at every moment."""
    out = tmp_path / "run"
    at_every_moment = {"config", "results"}
    for i, stage in enumerate(STAGES):
        for moment in MOMENTS if stage in at_every_moment else [MOMENTS[i % len(MOMENTS)]]:
            result = stopper(*synthetic(), "--out", out, "--resume", stage=stage, moment=moment)
            assert result == Result(KILLED, "", ""), (stage, moment)
            assert whole(out), (stage, moment)
            # that the moment was what it should be
            assert half_written(out) == (moment in ("half", "listing")), (stage, moment)
    result = stopper(*synthetic(), "--out", out, "--resume")
    assert result == Result(0, "", "")
    assert not differing(lasting(out), lasting(done[0]))
    assert files_below(out) == files_below(done[0])
    assert results(out)["rows"] == results(done[0])["rows"]
    names = [[stage["name"] for stage in results(place)["stages"]] for place in (out, done[0])]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("stage", "moment"),
    [("tt-svd/space", "half"), ("ut-als/network", "unlisted"), ("report", "half")],
)
def test_killed_once_it_ends_the_same(
    stopper: Stopper, done: Done, tmp_path: Path, stage: str, moment: str
) -> None:
    out = tmp_path / "run"
    killed = stopper(*synthetic(), "--out", out, stage=stage, moment=moment)
    assert killed.status == KILLED
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0, result.err
    assert not differing(lasting(out), lasting(done[0]))
    assert files_below(out) == files_below(done[0])


@pytest.mark.parametrize("stage", ["logs", "ut-als/network"])
def test_killed_amid_the_times_it_ends_the_same(
    stopper: Stopper, done: Done, tmp_path: Path, stage: str
) -> None:
    out = tmp_path / "run"
    assert stopper(*synthetic(), "--out", out, stage=stage, moment=TIMING).status == KILLED
    result = command(*synthetic(), "--out", out)
    assert result.status == 0, result.err
    assert not differing(lasting(out), lasting(done[0]))
    assert files_below(out) == files_below(done[0])


@pytest.mark.parametrize(
    ("stage", "moment"),
    list(zip(["config", "logs", "tt-svd/segments", "config", "logs"], MOMENTS, strict=True)),
)
def test_killed_and_started_anew_it_ends_the_same(
    stopper: Stopper, done: Done, tmp_path: Path, stage: str, moment: str
) -> None:
    out = tmp_path / "run"
    assert stopper(*synthetic(), "--out", out, stage=stage, moment=moment).status == KILLED
    options = [*synthetic(), "--space", "tt-svd", "--strategies", "semi", "--overwrite"]
    result = command(*options, "--out", out)
    assert result.status == 0, result.err
    assert not {name for name in files_below(out) if name.endswith(".part")}
    assert set(results(out)["rows"][0]) == set(results(done[0])["rows"][0])


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_it_replaces_another_run_it_ends_the_same(
    stopper: Stopper, run: Path, done: Done, moment: str
) -> None:
    options = [*synthetic(segments__k=5), "--space", "tt-svd", "--strategies", "semi"]
    killed = stopper(*options, "--out", run, "--overwrite", stage="config", moment=moment)
    assert killed.status == KILLED
    again = "--overwrite" if moment == "before" else "--resume"
    assert command(*options, "--out", run, again).status == 0
    alone = run.parent / "alone"
    assert command(*options, "--out", alone).status == 0
    assert not differing(lasting(run), lasting(alone))
    assert files_below(run) == files_below(alone)


def test_what_is_done_is_not_done_again(stopper: Stopper, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped = ("tt-svd/network", "after")
    stopper(*synthetic(), "--out", out, stage=stopped[0], moment=stopped[1])
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0, result.err
    lines = [line for line in result.out.splitlines() if line.startswith("[")]
    kept = [line for line in lines if line.endswith("kept from before")]
    assert kept == lines[:5]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    log = (out / "run.log").read_text()
    assert log.count("engine cpu") == 2


@pytest.mark.parametrize(
    ("stage", "moment", "how"),
    [
        ("logs", "before", "SIGINT"),
        ("tt-svd/network", "before", "SIGTERM"),
        ("ut-als/soft", "half", "SIGINT"),
    ],
)
def test_interrupted_it_says_how_to_go_on_and_can(
    stopper: Stopper, done: Done, tmp_path: Path, stage: str, moment: str, how: str
) -> None:
    """Ctrl-C sends SIGINT; a batch system, SIGTERM."""
    out = tmp_path / "run"
    result = stopper(*synthetic(), "--out", out, stage=stage, moment=moment, how=how)
    status, word = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated")}[how]
    told = f"{word}: the same command with --resume continues from here\n"
    assert result == Result(status, "", told)
    assert whole(out)
    if stage != "logs":  # before it there is no log either
        assert (out / "run.log").read_text().splitlines()[-1].endswith(f" {word}")
    again = command(*synthetic(), "--out", out, "--resume")
    assert again.status == 0, again.err
    assert not differing(lasting(out), lasting(done[0]))
    assert files_below(out) == files_below(done[0])


# -- resumed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--resume"], []])
def test_a_finished_run_is_told_again(run: Path, done: Done, options: list[str]) -> None:
    before = snapshot(run)
    result = command(*synthetic(), "--out", run, *options)
    assert result.status == 0, result.err
    assert "finished: there is nothing to do" in result.out
    assert result.out.count("kept from before") == len(STAGES) - 3
    assert snapshot(run) == before
    tables = "Top 10, in per cent"
    assert result.out.partition(tables)[2] == done[1].out.partition(tables)[2].replace(
        str(done[0]), str(run)
    )


def test_with_nothing_to_resume_it_says_so_and_starts(tmp_path: Path, done: Done) -> None:
    """A run stopped in its first stage has left nothing, and --resume must do nonetheless."""
    out = tmp_path / "run"
    result = command(*synthetic(), "--out", out, "--resume")
    assert result.status == 0
    assert "no finished stage to resume: starting from the beginning" in result.out
    assert not differing(lasting(out), lasting(done[0]))


def test_a_place_that_holds_something_else_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = command(*synthetic(), "--out", tmp_path, "--resume")
    refused(result, str(tmp_path), "is not empty and holds no run")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


CHANGES: list[tuple[list[str], dict[str, str], set[str]]] = [
    (["--seed", "1"], {"seed": "(was 0, now 1)"}, {*STAGES}),
    (
        ["--set", "segments.k=5"],
        {"segments.k": "(was 6, now 5)"},
        {*STAGES} - {"logs", *stages_of("space", "network", "predictions", "predictions.warm")},
    ),
    (
        ["--set", "mlp.hidden=4", "--k", "5"],
        {"mlp.hidden": "(was [16, 8], now [4])", "evaluation.k": "(was [10], now [5])"},
        {*STAGES} - {"logs", *stages_of("space", "segments")},
    ),
    (
        ["--k", "5,10"],
        {"evaluation.k": "(was [10], now [5, 10])"},
        {*stages_of("descriptions", *STRATEGIES, "examples"), *LAST, "config"},
    ),
    (
        ["--set", "strategies.soft_segments=2"],
        {"strategies.soft_segments": "(was 5, now 2)"},
        {*stages_of("soft", "examples"), *LAST, "config"},
    ),
    (
        ["--set", "evaluation.bootstrap=30"],
        {"evaluation.bootstrap": "(was 20, now 30)"},
        {*LAST, "config"},
    ),
    (
        ["--set", "mlp.epochs_ut_als=1"],
        {"mlp.epochs_ut_als": "(was 2, now 1)"},
        {
            *(f"ut-als/{part}" for part in PARTS if part not in LEARNED[:3]),
            *(*LAST, "config"),
        },
    ),
    (["--set", "world.n_tracks=201"], {"world.n_tracks": "(was 200, now 201)"}, {*STAGES}),
]
"""Other settings, how they are named, and the stages that are made again."""


@pytest.mark.parametrize(("changes", "keys", "again"), CHANGES)
def test_other_settings_make_again_only_what_depends_on_them(
    run: Path, changes: list[str], keys: dict[str, str], again: set[str]
) -> None:
    before = snapshot(run)
    sentence = refused(command(*synthetic(), *changes, "--out", run), str(run))
    for remedy in ("--out DIR", "--overwrite", "--resume"):
        assert remedy in sentence
    assert snapshot(run) == before
    earlier = manifest(run)["keys"]
    result = command(*synthetic(), *changes, "--out", run, "--resume")
    assert result.status == 0, result.err
    for output in (sentence, result.out):
        for key, values in keys.items():
            assert f"{key} {values}" in output
        assert output.count("(was") == len(keys)
    kept = {line.split("] ")[1].split()[0] for line in result.out.splitlines() if "kept" in line}
    assert kept == {*STAGES} - again - {"config"}
    now = manifest(run)["keys"]
    assert {name for name in now if now[name] != earlier[name]} == again
    alone = run.parent / "alone"
    assert command(*synthetic(), *changes, "--out", alone).status == 0
    assert not differing(lasting(run), lasting(alone))
    assert files_below(run) == files_below(alone)


def test_of_many_other_settings_the_first_are_told(run: Path) -> None:
    content = manifest(run)
    n = len(content["identity"]["config"])
    content["identity"]["config"] = {}
    (run / "manifest.json").write_text(json.dumps(content))
    sentence = refused(command(*synthetic(), "--out", run), str(run), f" and {n - 12} more; ")
    assert sentence.count("(was None, now ") == 12


def test_what_is_not_asked_for_any_more_is_removed(run: Path, tmp_path: Path) -> None:
    fewer = ["--space", "ut-als", "--strategies", "semi,full"]
    result = command(*synthetic(), *fewer, "--out", run, "--resume")
    assert result.status == 0, result.err
    removed = next(line for line in result.out.splitlines() if line.startswith("no longer asked"))
    assert "tt-svd/network" in removed
    assert "ut-als/soft" in removed
    assert command(*synthetic(), *fewer, "--out", tmp_path / "alone").status == 0
    assert not differing(lasting(run), lasting(tmp_path / "alone"))
    assert files_below(run) == files_below(tmp_path / "alone")


def test_settings_the_data_cannot_serve_leave_the_run_whole(run: Path) -> None:
    before = snapshot(run)
    for setting in ("segments.k=100000", "evaluation.k=100000", "tt_svd.dimension=100000"):
        result = command(*synthetic(), "--set", setting, "--out", run, "--resume")
        refused(result, setting.split("=")[0])
    del before[str(run / "run.log")]
    assert {name: content for name, content in snapshot(run).items() if name in before} == before


def test_to_resume_and_to_overwrite_is_one_too_many(run: Path) -> None:
    refused(command(*synthetic(), "--out", run, "--resume", "--overwrite"), "give one")


def test_a_run_of_an_older_version_is_left_alone(run: Path) -> None:
    content = manifest(run)
    del content["keys"]
    (run / "manifest.json").write_text(json.dumps(content))
    before = snapshot(run)
    refused(command(*synthetic(), "--out", run, "--resume"), "older version", "--overwrite")
    assert snapshot(run) == before


def test_other_versions_keep_what_is_done_and_say_so(run: Path) -> None:
    content = manifest(run)
    others = content["identity"]["versions"] | {"numpy": "1.0"}
    content["identity"]["versions"] = others
    (run / "manifest.json").write_text(json.dumps(content))
    before = snapshot(run)
    for options in ([], ["--resume"]):
        result = command(*synthetic(), "--out", run, *options)
        assert result.status == 0, result.err
        assert "begun with other versions: numpy (was '1.0', now '" in result.out
        assert "--overwrite" in result.out
        assert snapshot(run) == before
    again = command(*synthetic(), "--k", "5", "--out", run, "--resume")
    assert again.status == 0, again.err
    assert manifest(run)["identity"]["versions"] == others, "most of it is still of those"
    assert command(*synthetic(), "--out", run, "--overwrite").status == 0
    assert manifest(run)["identity"]["versions"] != others


def test_with_another_engine_it_refuses(run: Path) -> None:
    content = manifest(run)
    content["identity"]["engine"] = "cuda"
    (run / "manifest.json").write_text(json.dumps(content))
    result = command(*synthetic(), "--out", run, "--resume")
    refused(result, "--engine (was 'cuda', now 'cpu')")


def test_with_other_threads_it_refuses(run: Path) -> None:
    """Sums are cut by the number of threads, so the bytes would not be the same."""
    content = manifest(run)
    content["identity"]["threads"] = 7
    (run / "manifest.json").write_text(json.dumps(content))
    result = command(*synthetic(), "--out", run, "--resume")
    refused(result, "OMP_NUM_THREADS (was 7, now 1)")
