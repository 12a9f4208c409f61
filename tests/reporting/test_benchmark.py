"""Data sets times seeds, counted over again; the command and its refusals."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from gpu_coldstart.cli.interruption import Interrupted
from gpu_coldstart.evaluation.comparisons import holm
from gpu_coldstart.reporting.benchmark import Entry, benchmark, critical_difference, pooled
from gpu_coldstart.reporting.rows import where
from gpu_coldstart.reporting.runs import FinishedRun
from tests.reporting.reading import sound
from tests.runs.helpers import synthetic
from tests.test_cli import calling


def test_the_same_users_are_averaged(loaded: dict[str, FinishedRun]) -> None:
    """Of users that some runs lack, the mean is over the runs that have them."""
    one, other = loaded["one"], loaded["other"]
    entry = Entry("x", [one, other])
    assert entry.same_users
    sample = pooled(entry)
    for place, values in zip(sample.places, sample.values, strict=True):
        a, b = (
            run.measures[place.space, place.strategy][place.measure, place.k]
            for run in (one, other)
        )
        order = np.argsort(one.user_ids)
        np.testing.assert_allclose(values, ((a + b) / 2)[order])


def test_users_of_other_worlds_are_other_users(loaded: dict[str, FinishedRun]) -> None:
    one, world = loaded["one"], loaded["world"]
    entry = Entry("x", [one, world])
    assert not entry.same_users
    quality, _ = benchmark([entry])
    for line in quality:
        assert line["users"] == len(one.user_ids) + len(world.user_ids)
        means = [
            run.measures[line["space"], line["strategy"]][line["measure"], line["k"]].mean()
            for run in (one, world)
        ]
        assert line["mean"] == pytest.approx(np.mean(means))  # as many users in either
        assert line["deviation"] == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
        assert line["low"] < line["mean"] < line["high"]


def test_ranks_and_tests_by_hand(loaded: dict[str, FinishedRun]) -> None:
    run = loaded["one"]
    quality, pairs = benchmark([Entry("a", [run]), Entry("b", [loaded["world"]])])
    first = where(quality, data="a", k=10)
    places = [("tt-svd", name) for name in ("popularity", "semi")]
    p: dict[str, float] = {}
    for measure in ("precision", "recall", "ndcg"):
        mine, its = (np.round(run.measures[place][measure, 10], 12) for place in places)
        for (_, name), ours, theirs in zip(places, (mine, its), (its, mine), strict=True):
            (line,) = where(first, strategy=name, measure=measure)
            rank = [1 + (b > a) + (b == a) / 2 for a, b in zip(ours, theirs, strict=True)]
            assert line["rank"] == pytest.approx(np.mean(rank))
            assert (line["deviation"], line["seeds"]) == (None, 1)
            assert line["critical"] == critical_difference(2, len(run.user_ids))
        p[measure] = float(wilcoxon(mine - its, zero_method="pratt").pvalue)
        best = places[int(its.mean() > mine.mean())][1]
        assert where(first, strategy=best, measure=measure)[0]["p_best"] is None
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    found = {line["measure"]: line["p_best"] for line in first if line["p_best"] is not None}
    assert found == pytest.approx(adjusted, rel=0.1)  # ours is exact, SciPy's a normal
    assert len(pairs) == len(p) * (2 + 1)  # the second was measured at 10 alone


def test_the_command(tmp_path: Path) -> None:
    """Two data sets, the second by its files; done again, it finds everything there."""
    options = ["--space", "tt-svd", "--seeds", "0,2", *synthetic()[2:], "--out", tmp_path / "out"]
    asked = ["benchmark", "synthetic:tiny", "--strategies", "popularity,semi", *options]
    result = calling(*asked)
    assert result.status == 0, result.err
    assert "| Semi-Pers." in result.out
    out = tmp_path / "out"
    sound((out / "benchmark.html").read_text())
    assert "figures/ranks-0.svg" in (out / "benchmark.md").read_text()
    for figure in ("ranks-0.svg", "ranks-0.png"):
        assert (out / "figures" / figure).stat().st_size > 1000
    lines = [*csv.DictReader((out / "benchmark.csv").read_text().splitlines())]
    assert {(line["data"], line["strategy"], line["seeds"]) for line in lines} == {
        ("synthetic-tiny", "popularity", "2"),
        ("synthetic-tiny", "semi", "2"),
    }
    before = (out / "benchmark.csv").read_bytes()
    again = calling(*asked)
    assert again.out.count("finished: there is nothing to do") == 2
    assert (out / "benchmark.csv").read_bytes() == before


def test_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("gpu_coldstart.run.run", stopped)
    result = calling("benchmark", "synthetic:tiny", "--engine", "cpu", "--out", tmp_path / "out")
    assert result.status == 143
    assert "the same command continues from here" in result.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["needs a data set or more", "synthetic:small"]),
        ("synthtic", ["no data set 'synthtic'", "did you mean synthetic?"]),
        ("events", ["events needs a directory", "events:DIR"]),
        ("events:a/logs events:b/logs", ["two data sets", "events-logs", "rename a directory"]),
        ("synthetic:smal", ["'smal'", "did you mean small?"]),
        ("synthetic --seeds 1,1", ["'--seeds'", "twice"]),
        ("synthetic --strategies simi", ["simi", "did you mean semi?"]),
    ],
)
def test_refused_before_anything_is_done(line: str, words: list[str], tmp_path: Path) -> None:
    result = calling("benchmark", *line.split(), "--out", tmp_path / "out")
    assert result.status == 2
    assert all(word in result.err for word in words), result.err
    assert not (tmp_path / "out").exists()
