"""Runs side by side, counted over again."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import mannwhitneyu, rankdata, wilcoxon

from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.comparisons import holm
from gpu_coldstart.reporting.blocks import MINUS, NOT_KNOWN, Grid, Section, Text
from gpu_coldstart.reporting.comparison import COLUMNS, compare, names_of, pairing
from gpu_coldstart.reporting.comparison_page import (
    comparison_sections,
    differing_settings,
    markdown,
)
from gpu_coldstart.reporting.comparison_verdict import comparison_verdict
from gpu_coldstart.reporting.results import aligned
from gpu_coldstart.reporting.rows import lines_of
from gpu_coldstart.reporting.runs import FinishedRun, load_run
from tests.reporting.reading import comparing, sound

MEASURES = ("precision", "recall", "ndcg")


def compared(*runs: FinishedRun) -> list[dict[str, Any]]:
    return lines_of(compare(runs, [pairing(runs[0], run) for run in runs[1:]]))


def measured(path: Path, strategy: str) -> dict[str, dict[int, float]]:
    """Each user's measures at 10, straight from the file."""
    table = pq.read_table(path / f"artifacts/tt-svd/{strategy}.measures.parquet").to_pydict()
    return {m: dict(zip(table["user_id"], table[f"{m}@10"], strict=True)) for m in MEASURES}


# -- what is found -----------------------------------------------------------------------------


def signed_rank(differences: HostArray) -> tuple[float, float]:
    """p of Wilcoxon's test with Pratt's zeros, by all signs if they are few; how near it is."""
    ranks = rankdata(np.abs(differences))[differences != 0]
    if len(ranks) > 12:
        return float(wilcoxon(differences, zero_method="pratt").pvalue), 0.05
    sums = np.array(list(product((0, 1), repeat=len(ranks)))) @ ranks - ranks.sum() / 2
    met = ranks[differences[differences != 0] > 0].sum() - ranks.sum() / 2
    return float((np.abs(sums) >= abs(met) - 1e-9).mean()), 1e-9


def test_paired_runs_by_hand(runs: dict[str, Path], loaded: dict[str, FinishedRun]) -> None:
    lines = compared(loaded["one"], loaded["other"])
    assert len(lines) == 2 * 2 * 3
    p = {}
    for line in lines:
        assert (line["space"], line["k"]) == ("tt-svd", 10)
        values = measured(runs[line["run"]], line["strategy"])[line["measure"]]
        assert_allclose(line["mean"], sum(values.values()) / len(values))
        if line["run"] == "one":
            assert line["difference"] is line["p_holm"] is line["design"] is None
            continue
        before = measured(runs["one"], line["strategy"])[line["measure"]]
        differences = [values[user] - before[user] for user in before]
        assert_allclose(line["difference"], np.mean(differences), atol=1e-12)
        assert line["low"] - 1e-12 <= line["difference"] <= line["high"] + 1e-12
        assert (line["design"], line["common_users"]) == ("paired", len(before))
        if any(differences):
            wanted, tolerance = signed_rank(np.round(differences, 12))
            assert line["p_rank"] == pytest.approx(wanted, abs=tolerance)  # ours is exact
        else:
            assert line["p_rank"] == 1.0
        p[line["strategy"], line["measure"]] = line
    assert_allclose(
        [line["p_holm"] for line in p.values()],
        holm([line["p_rank"] for line in p.values()]),
    )
    assert any(line["difference"] for line in p.values())
    chart = [line for (strategy, _), line in p.items() if strategy == "popularity"]
    assert {(line["difference"], line["p_bootstrap"]) for line in chart} == {(0.0, 1.0)}


def test_other_users_are_compared_as_wholes(
    runs: dict[str, Path], loaded: dict[str, FinishedRun]
) -> None:
    lines = compared(loaded["one"], loaded["world"])
    for line in lines:
        if line["run"] == "one":
            continue
        one, other = (
            [*measured(runs[name], line["strategy"])[line["measure"]].values()]
            for name in ("one", "world")
        )
        assert line["design"] == "unpaired"
        assert line["common_users"] is None
        assert_allclose(line["difference"], np.mean(other) - np.mean(one), atol=1e-12)
        rounded = np.round(one, 12), np.round(other, 12)
        assert_allclose(line["p_rank"], mannwhitneyu(*rounded).pvalue)
        assert line["low"] < line["difference"] < line["high"]


def test_the_same_runs_have_no_difference(loaded: dict[str, FinishedRun]) -> None:
    same = replace(loaded["one"], path=Path("elsewhere"))
    for line in compared(loaded["one"], same):
        if line["run"] != "one":
            assert (line["difference"], line["low"], line["high"]) == (0.0, 0.0, 0.0)
            assert line["p_rank"] == line["p_bootstrap"] == line["p_holm"] == 1.0


@given(data=st.data())
def test_users_are_matched_by_id(data: Any, loaded: dict[str, FinishedRun]) -> None:
    """In any order, and with only some of them in both."""
    run = loaded["one"]
    n = len(run.user_ids)
    kept = data.draw(st.lists(st.sampled_from(range(n)), unique=True, min_size=2))
    fewer = replace(
        run,
        path=Path("fewer"),
        user_ids=run.user_ids[kept],
        truth=[run.truth[i] for i in kept],
        measures={
            place: {key: values[kept] for key, values in series.items()}
            for place, series in run.measures.items()
        },
    )
    pair = pairing(run, fewer)
    assert pair.paired
    assert run.user_ids[pair.first].tolist() == fewer.user_ids[pair.other].tolist()
    assert len(pair.first) == len(kept)
    (line,) = [
        line for line in compared(run, fewer) if line["run"] == "fewer"
        and (line["strategy"], line["measure"], line["k"]) == ("semi", "ndcg", 10)
    ]  # fmt: skip
    assert (line["difference"], line["common_users"]) == (0.0, len(kept))


def test_another_truth_of_one_user_is_another_question(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]
    other = replace(run, truth=[("other",), *run.truth[1:]])
    assert not pairing(run, other).paired
    assert pairing(run, run).paired
    strangers = replace(run, user_ids=run.user_ids + 10**9)
    assert not pairing(run, strangers).paired


def test_constant_values_have_no_rank(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]
    level = {p: {k: np.full(len(v), 0.5) for k, v in s.items()} for p, s in run.measures.items()}
    one = replace(run, measures=level)
    other = replace(one, path=Path("other"), user_ids=run.user_ids + 10**9)
    p = {line["p_holm"] for line in compared(one, other) if line["run"] == "other"}
    assert p == {1.0}


# -- how it is told ----------------------------------------------------------------------------


def test_the_terminal_shows_all_of_it(runs: dict[str, Path]) -> None:
    result = comparing(*runs.values())
    assert result.status == 0, result.err
    assert not result.err
    assert "other: paired over the 30 users" in result.out
    assert "world: unpaired" in result.out
    assert "Left out, because not all runs measured it: k = 5." in result.out
    assert re.search(r"\| segments\.k +\| +6 \| +3 \| +6 \|", result.out)
    assert re.search(r"\| seed +\| +0 \| +0 \| +1 \|", result.out)
    assert re.search(r"\| evaluation\.k +\| +5, 10 \| +10 \| +10 \|", result.out)
    assert "ut-als" not in result.out.partition("Stages")[0].partition("TT-SVD")[2]
    for measure in ("P@10 (of min(10, truth))", "R@10", "NDCG@10"):
        assert measure in result.out
    tables = result.out.partition("## ")[2]
    assert tables.index("Popularity") < tables.index("Semi-Pers.")
    assert "tt-svd/network" in result.out
    assert "The same in all runs: input files, versions." in result.out


VERSUS = dict.fromkeys(COLUMNS) | {"space": "tt-svd", "k": 10, "measure": "ndcg", "mean": 0.25}


def versus(strategy: str, difference: float, p: float, mean: float = 0.25) -> dict[str, Any]:
    ends = {"low": difference - 0.05, "high": difference + 0.05, "p_holm": p, "mean": mean}
    return VERSUS | {"run": "b", "strategy": strategy, "difference": difference} | ends


_HEAD = "the best that both have, has an NDCG@10 of"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [
                versus("semi", 0.1, 0.01),
                versus("full", -0.1, 0.04),
                versus("ridge", 0.2, 0.06, 0.3),
            ],
            f"b: Ridge (TT-SVD), {_HEAD} 30.00 %, +20.00 points [15.00, 25.00] against a, which "
            "may be chance; of 3 lists (strategies by spaces), 1 are significantly better and 1 "
            "worse.",
        ),
        (
            [versus("semi", -0.1, 0.01), VERSUS | {"run": "b", "strategy": "own", "mean": 0.9}],
            f"b: Semi-Pers. (TT-SVD), {_HEAD} 25.00 %, ~10.00 points [~15.00, ~5.00] against a; "
            "of 1 list (strategies by spaces), 0 are significantly better and 1 worse.",
        ),
        (
            [versus("semi", -0.1, 0.5)],
            f"b: Semi-Pers. (TT-SVD), {_HEAD} 25.00 %, ~10.00 points [~15.00, ~5.00] against a, "
            "which may be chance; of 1 list (strategies by spaces), none differs significantly.",
        ),
        (
            [versus("semi", 0.0, 1.0)],
            "b recommends as well as a in everything that both have, to the digit.",
        ),
    ],
)
def test_the_verdict_comes_first(lines: list[dict[str, Any]], sentence: str) -> None:
    rows = [VERSUS | {"run": "a", "strategy": "semi"}, *lines, versus("gate", 0.5, 0.0) | {"k": 5}]
    table = {column: [row[column] for row in rows] for column in COLUMNS}
    assert comparison_verdict(["a", "b"], table) == [sentence.replace("~", MINUS)]


def test_data_and_software_that_differ_are_told(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]
    one, other = (replace(run, path=Path(each)) for each in "ab")
    one = replace(one, files={"users": "1" * 64, "tracks": "2" * 64}, versions={"numpy": "2.0"})
    other = replace(other, files={"users": "3" * 64, "tracks": "2" * 64}, versions={"numpy": "2.1"})
    pairs = [pairing(one, other)]
    sections = comparison_sections([one, other], ["a", "b"], pairs, compare([one, other], pairs))
    grids = {block.id: block.rows for block in sections[0].blocks if isinstance(block, Grid)}
    assert grids["input-files"] == [["users", "1" * 12, "3" * 12]]
    assert grids["versions"] == [["numpy", "2.0", "2.1"]]
    assert Text("The same in all runs: settings.") in sections[0].blocks


def test_files_say_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    out = comparing(runs["one"], runs["other"], "--out", tmp_path / "c.md").out
    assert (tmp_path / "c.md").read_text("utf-8") == out
    assert comparing(runs["one"], runs["other"], "--out", tmp_path / "c.html").out == out
    read = sound((tmp_path / "c.html").read_text("utf-8"))
    heads = [element.text for element in read.all("h2")]
    assert heads[:4] == ["In short", "Contents", "Differences", "The runs"]
    assert len(read.all("figure")) == 1
    shown = read.cells("ndcg-10-tt-svd")
    assert shown[0] == ["strategy", "one", "other", "difference", "95 % interval", "p Holm"]
    assert all(f"| {cell}" in out or f" {cell} " in out for line in shown for cell in line)
    assert comparing(runs["one"], runs["other"], "--out", tmp_path / "c.csv").out == out
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    wanted = compared(load_run(runs["one"]), load_run(runs["other"]))
    assert len(lines) == len(wanted)
    for line, row in zip(lines, wanted, strict=True):
        told = {key: "" if value is None else str(value) for key, value in row.items()}
        assert line == told


def test_settings_that_one_run_does_not_know(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]
    config = {key: value for key, value in run.config.items() if key != "segments.k"}
    older = replace(run, config=config | {"gone": True})
    assert differing_settings([run, older]) == {
        "segments.k": ["6", NOT_KNOWN],
        "gone": [NOT_KNOWN, "true"],
    }
    assert differing_settings([run, run]) == {}


def test_names_are_as_long_as_they_must_be(loaded: dict[str, FinishedRun]) -> None:
    def at(*paths: str) -> list[str]:
        return names_of([replace(loaded["one"], path=Path(path)) for path in paths])

    assert at("/a/x", "/b/y") == ["x", "y"]
    assert at("/a/x", "/b/x", "/b/y") == ["a/x", "b/x", "b/y"]
    with pytest.raises(UserError, match="named twice"):
        at("/a/x", "/a/../a/x")


def test_cells_do_not_break_a_table() -> None:
    grid = Grid("g", "G", ["a|b", "c"], [["d\ne", "|"]])
    text = markdown("T", [Section("s", "S", [Text("t"), grid])])
    table = aligned([["a\\|b", "c"], ["d e", "\\|"]])
    assert text == f"# T\n\n## S\n\nt\n\nG:\n\n{table}\n"
