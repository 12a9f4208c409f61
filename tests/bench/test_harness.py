"""Turns, warm-up, failures and verdicts."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cases import HIGHER, LOWER, SAME, Benchmark, Case, Rule, Setting, UnavailableError
from bench.harness import run, verdict
from gpu_coldstart.engine import choose
from tests.bench.helpers import benchmark, contender

SETTING = Setting(choose("cpu")[0], scale=1.0, threads=1)


def test_contenders_take_turns_and_everyone_begins_once() -> None:
    calls: list[str] = []

    def work(name: str) -> float:
        calls.append(name)
        return 1.0

    made = benchmark(
        contender("a", lambda: work("a"), ours=True),
        contender("b", lambda: work("b")),
        contender("c", lambda: work("c")),
    )
    result = run(made, SETTING, rounds=3, limit=9)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert [one.rounds for one in result.outcomes] == [[0, 1, 2]] * 3
    assert all(len(one.seconds) == 3 for one in result.outcomes)


def test_slow_work_is_warmed_up_on_a_small_world() -> None:
    scales: list[float] = []

    def prepare(setting: Setting) -> Case:
        work = contender("a", lambda: scales.append(setting.scale), ours=True)
        return Case([work], {})

    run(Benchmark("x", "y", prepare, slow=True), SETTING, rounds=2, limit=9)
    assert len(scales) == 3
    assert scales[0] < 0.1
    assert scales[1:] == [1.0, 1.0]


def test_most_rounds_bound_the_rounds() -> None:
    case = Case([contender("a", lambda: 1.0, ours=True)], {})
    result = run(Benchmark("x", "y", lambda _: case, most_rounds=2), SETTING, rounds=5, limit=9)
    assert result.outcomes[0].rounds == [0, 1]


def test_only_the_work_is_timed() -> None:
    def start() -> object:
        time.sleep(0.2)
        return lambda: 1.0

    slow_start = contender("a", lambda: 1.0, ours=True)
    object.__setattr__(slow_start, "start", start)
    result = run(benchmark(slow_start), SETTING, rounds=1, limit=9)
    assert result.outcomes[0].seconds[0] < 0.1


def test_a_failure_is_put_down_and_the_others_go_on() -> None:
    def fail() -> float:
        raise ValueError("no such luck")

    result = run(
        benchmark(contender("a", lambda: 1.0, ours=True), contender("b", fail)),
        SETTING,
        rounds=2,
        limit=9,
    )
    ours, theirs = result.outcomes
    assert (ours.status, len(ours.seconds)) == ("ran", 2)
    assert (theirs.status, theirs.reason) == ("failed", "ValueError: no such luck")
    assert theirs.seconds == []


def test_what_is_missing_refused_or_for_another_device_is_told() -> None:
    def unavailable() -> float:
        raise UnavailableError("the card is asleep")

    made = benchmark(
        contender("a", lambda: 1.0, ours=True),
        contender("b", lambda: 1.0, needs=("no_such_module_at_all",)),
        contender("c", lambda: 1.0, refused="too large"),
        contender("d", unavailable),
        contender("e", lambda: 1.0, device="cuda"),
    )
    found = {one.name: one for one in run(made, SETTING, rounds=1, limit=9).outcomes}
    assert found["b"].status == "missing"
    assert found["b"].reason.endswith("pip install 'gpu-coldstart[bench]'")
    assert (found["c"].status, found["c"].reason) == ("left out", "too large")
    assert (found["d"].status, found["d"].reason) == ("missing", "the card is asleep")
    assert "e" not in found
    only = run(made, SETTING, rounds=1, limit=9, ours_only=True)
    assert [one.name for one in only.outcomes] == ["a"]


def test_a_benchmark_without_its_data_is_skipped() -> None:
    def prepare(setting: Setting) -> Case:
        raise UnavailableError("the data are not here")

    result = run(Benchmark("x", "y", prepare), SETTING, rounds=1, limit=9)
    assert result.skipped == "the data are not here"


def test_who_takes_longer_than_the_limit_is_not_called_again() -> None:
    def doze() -> float:
        time.sleep(0.03)
        return 1.0

    made = benchmark(
        contender("a", lambda: 1.0, ours=True),
        contender("b", doze),
    )
    ours, theirs = run(made, SETTING, rounds=3, limit=0.02).outcomes
    assert len(ours.seconds) == 3
    assert len(theirs.seconds) == 1
    assert theirs.verdict == "equal"
    assert theirs.reason == "a call took more than 0.02 s: not called again"


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (Rule("off", SAME, 0.1), 1.05, "equal"),
        (Rule("off", SAME, 0.1), 1.2, "differs"),
        (Rule("value", LOWER, 0.1), 1.05, "equal"),
        (Rule("value", LOWER, 0.1), 1.2, "worse"),
        (Rule("value", LOWER, 0.1), 0.8, "better"),
        (Rule("value", HIGHER, 0.1), 0.8, "worse"),
        (Rule("value", HIGHER, 0.1), 1.2, "better"),
        (Rule("value", LOWER, 0.1), float("nan"), "worse"),
        (Rule("off", SAME, 0.1), float("nan"), "differs"),
    ],
)
def test_quality_is_compared_with_ours(rule: Rule, value: float, expected: str) -> None:
    made = benchmark(
        contender("a", lambda: value), contender("b", lambda: 1.0, ours=True), rules=(rule,)
    )
    theirs, ours = run(made, SETTING, rounds=1, limit=9).outcomes
    assert theirs.verdict == expected
    assert ours.verdict == "equal"
    assert theirs.quality["value"] == pytest.approx(value, nan_ok=True)


@given(st.lists(st.tuples(st.sampled_from([SAME, LOWER, HIGHER]), st.floats(-2, 2)), max_size=6))
def test_the_worst_rule_decides(cases: list[tuple[str, float]]) -> None:
    rules = [Rule(str(place), kind, 0.5) for place, (kind, _) in enumerate(cases)]
    quality = {str(place): 1.0 + change for place, (_, change) in enumerate(cases)}
    words: Counter[str] = Counter()
    for kind, change in cases:
        moved = (1.0 + change) - 1.0
        if abs(moved) <= 0.5:
            words["equal"] += 1
        elif kind == SAME:
            words["differs"] += 1
        else:
            words["better" if (moved < 0) == (kind == LOWER) else "worse"] += 1
    expected = next((w for w in ("differs", "worse", "better") if words[w]), "equal")
    assert verdict(rules, quality, dict.fromkeys(quality, 1.0)) == expected


def test_traces_and_parts_come_along() -> None:
    made = benchmark(
        contender("a", lambda: 2.0, ours=True, trace=lambda: [(0.5, 3.0), (1.0, 2.0)]),
        parts=lambda result: {"half": result / 2},
    )
    ours = run(made, SETTING, rounds=2, limit=9).outcomes[0]
    assert ours.trace == [(0.5, 3.0), (1.0, 2.0)]
    assert ours.parts == [{"half": 1.0}, {"half": 1.0}]
