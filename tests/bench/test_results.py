"""The JSON form, and what is computed from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results import Result, best_rival, by_size, load, ratio, save, spread
from gpu_coldstart.errors import UserError
from tests.bench.helpers import outcome, rich, sweep

SECONDS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "some" / "a.json"
    save(path, rich())
    assert load(path) == rich()
    assert json.loads(path.read_text())["format"] == 1


def test_a_file_from_before_there_were_sweeps_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save(path, rich())
    content = json.loads(path.read_text())
    content["settings"]["scale"] = content["settings"].pop("scales")[0]
    for result in content["results"]:
        del result["scale"]
    path.write_text(json.dumps(content))
    assert load(path) == rich()


def test_ratios_by_size_leave_out_what_has_one_size_or_no_rival() -> None:
    found = by_size(sweep())
    medians = {scale: ratio.spread.median for scale, ratio in found.pop("race").items()}
    assert medians == {0.1: 0.5, 1.0: 1.5}
    assert not found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "is not JSON"),
        ("[]", "holds no benchmarks"),
        ('{"stages": []}', "holds no benchmarks"),
        ('{"format": 99}', "has another format"),
        ('{"format": 1}', "does not hold what it should"),
        ('{"format": 1, "results": [{"name": "x"}]}', "does not hold what it should"),
    ],
)
def test_what_is_no_campaign_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as error:
        load(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "none.json")


@given(SECONDS)
def test_spread_is_numpys_quantiles(values: list[float]) -> None:
    s = spread(values)
    expected = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose([s.low, s.first, s.median, s.third, s.high], expected, rtol=1e-12)


@given(SECONDS, SECONDS)
def test_ratios_are_of_the_same_round(mine: list[float], theirs: list[float]) -> None:
    found = ratio(outcome("a", mine, ours=True), outcome("b", theirs))
    both = min(len(mine), len(theirs))
    quotients = np.array(mine[:both]) / np.array(theirs[:both])
    assert found is not None
    assert found.rival == "b"
    assert found.spread.median == pytest.approx(np.median(quotients))
    assert found.spread.high == pytest.approx(quotients.max())


def test_without_a_common_round_there_is_no_ratio() -> None:
    assert ratio(outcome("a", [1.0], ours=True), outcome("b", [])) is None


def test_the_best_rival_is_the_fastest_of_those_as_good() -> None:
    result = Result(
        "x",
        "y",
        outcomes=[
            outcome("mine", [0.1], ours=True),
            outcome("worse", [0.2], "worse"),
            outcome("wrong", [0.2], "differs"),
            outcome("good", [0.5]),
            outcome("better", [0.4], "better"),
            outcome("not run", [], "equal"),
        ],
    )
    rival = best_rival(result)
    assert rival is not None
    assert rival.name == "better"
