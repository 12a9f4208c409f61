"""The command."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import bench.__main__ as command
from bench import machine, sweep, threads
from bench.__main__ import main
from bench.benchmarks import ALL
from bench.results import load
from gpu_coldstart.errors import UserError
from tests.bench import helpers


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are put back, and no seconds spent on the machine's rates."""
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(machine, "rates", lambda engine: helpers.MACHINE["rates"])


def test_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ALL)


def test_run_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.json"
    options = ["--scale", "0.002", "--rounds", "2", "--threads", "1", "--out", str(out)]
    assert main(["run", "top-*", "assign", *options]) == 0
    found = load(out)
    # In the order of the flow, not of the command.
    assert [result.name for result in found.results] == ["assign", "top-50"]
    assert found.scales == [0.002]
    outcomes = [one for result in found.results for one in result.outcomes]
    assert all(len(one.seconds) == 2 for one in outcomes if one.status != "missing")
    assert len([one for one in outcomes if one.seconds]) >= 2 * 3
    assert main(["report", str(out), "--out", str(tmp_path / "pages")]) == 0
    assert "## top-50" in (tmp_path / "pages" / "a.md").read_text()
    assert f"written to {out}" in capsys.readouterr().out


def test_a_sweep_holds_all_scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in a process of its own, which takes seconds to load everything.
    monkeypatch.setattr(command, "apart", lambda work, *arguments: work(*arguments))
    one_size = replace(ALL["assign"], name="assign-tafeng", one_size=True)
    monkeypatch.setitem(ALL, "assign-tafeng", one_size)
    out = tmp_path / "a.json"
    options = ["--scale", "0.004,0.002", "--rounds", "1", "--threads", "1", "--ours"]
    assert main(["run", "assign*", *options, "--out", str(out)]) == 0
    found = load(out)
    assert found.scales == [0.002, 0.004]
    names = [(result.name, result.scale) for result in found.results]
    assert names == [("assign", 0.002), ("assign-tafeng", None), ("assign", 0.004)]


def test_a_scale_that_is_killed_is_told() -> None:
    with pytest.raises(UserError, match="was killed"):
        sweep.apart(os._exit, 9)


def test_complete_asks_for_every_rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "implicit" else find(name)
    )
    options = ["run", "top-50", "--scale", "0.002", "--rounds", "1", "--threads", "1"]
    assert main([*options, "--out", str(tmp_path / "a.json")]) == 0
    assert main([*options, "--complete", "--out", str(tmp_path / "b.json")]) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["run", "no-such"], "no benchmark is called 'no-such'"),
        (["run", "--without", "no-such"], "no benchmark is called 'no-such'"),
        (["run", "als-*", "--without", "als-128*", "als-256"], "--without leaves no benchmark"),
        (["run", "--scale", "0"], "--scale is 0"),
        (["run", "--scale", "nan"], "--scale is nan"),
        (["run", "--scale", "1,0"], "--scale is 0"),
        (["run", "--scale", "1,2", "--tables", "."], "--tables holds the world of one scale"),
        (["run", "--rounds", "0"], "--rounds is 0"),
        (["run", "--threads", "0"], "--threads is 0"),
        (["run", "--seed", "-1"], "--seed is -1"),
        (["run", "--engine", "cuda"], "engine cuda cannot run"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.json"
    assert main([*options, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert not out.exists()


def test_results_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.json"
    out.write_text("precious")
    assert main(["run", "top-50", "--out", str(out)]) == 2
    assert out.read_text() == "precious"
    assert main(["run", "top-50", "--out", str(tmp_path / "a.txt")]) == 2
    assert main(["report", str(tmp_path / "none.json"), "--out", str(tmp_path)]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err
