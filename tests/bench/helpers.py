"""Benchmarks made up for the tests of the harness, and campaigns for those of the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.cases import Benchmark, Case, Contender, Rule
from bench.results import Campaign, Outcome, Result

MACHINE: dict[str, Any] = {
    "processor": "Some CPU",
    "cores": 2,
    "threads": 2,
    "memory_gb": 8.0,
    "engine": "cpu",
    "device": "",
    "gpu": None,
    "driver": None,
    "python": "3.11.7",
    "commit": "0123456789abcdef",
    "changed_since_commit": True,
    "versions": {"numpy": "2.0"},
    "rates": {"copy_gb_per_s": 10.0, "matmul_gflop_per_s": 100.0},
}


def contender(name: str, work: Callable[[], Any], **more: Any) -> Contender:
    """One whose work needs no preparation."""
    return Contender(name, lambda: work, **more)


def benchmark(
    *contenders: Contender, rules: tuple[Rule, ...] = (), slow: bool = False, **case: Any
) -> Benchmark:
    """A benchmark of given contenders; the quality is the result itself, a number."""

    def quality(result: float, ours: float) -> dict[str, float]:
        return {"value": result, "off": abs(result - ours)}

    chosen = Case(list(contenders), {"things": 10}, quality=quality, rules=rules, **case)
    return Benchmark("made-up", "what the test says", lambda setting: chosen, slow=slow)


def outcome(name: str, seconds: list[float], verdict: str = "equal", **more: Any) -> Outcome:
    """One that ran in the first rounds."""
    return Outcome(
        name,
        more.pop("ours", False),
        rounds=list(range(len(seconds))),
        seconds=seconds,
        device_peak_mb=[0.0] * len(seconds),
        verdict=verdict,
        **more,
    )


def campaign(*results: Result) -> Campaign:
    """Results with all that stands around them."""
    settings = {"scales": [0.5], "rounds": 3, "limit": 300.0, "seed": 0}
    return Campaign("2020-01-01T00:00:00+00:00", MACHINE, settings, list(results))


def sweep() -> Campaign:
    """One benchmark at two scales, and one of one size."""

    def race(scale: float | None, mine: list[float], theirs: float) -> Result:
        good, bad = outcome("good", [theirs] * 3), outcome("bad", [0.1] * 3, "worse")
        outcomes = [outcome("mine", mine, ours=True), good, bad]
        return Result("race", "who is first", outcomes=outcomes, scale=scale)

    alone = Result("alone", "no rival", outcomes=[outcome("mine", [1.0], ours=True)], scale=0.1)
    found = campaign(
        race(0.1, [1.0, 2.0, 3.0], 4.0), race(None, [1.0], 1.0), alone, race(1.0, [6.0], 4.0)
    )
    found.settings["scales"] = [0.1, 1.0]
    return found


def rich() -> Campaign:
    """A campaign with one of everything."""
    versus = Result(
        "race",
        "who is first",
        sizes={"things": 100},
        items="things",
        bytes=1e9,
        flops=1e9,
        outcomes=[
            outcome("mine", [1.0, 2.0, 3.0], ours=True, quality={"value": 1.0}),
            outcome("quick but bad", [0.1, 0.1, 0.1], "worse", quality={"value": 9.0}),
            outcome(
                "good", [2.0, 2.0, 2.0], quality={"value": 1.0}, trace=[(0.5, 9.0), (1.0, 4.0)]
            ),
            Outcome("absent", ours=False, status="missing", reason="not installed: get it"),
        ],
    )
    stages = Result(
        "stages",
        "all of it",
        sizes={"users": 7},
        versus=False,
        outcomes=[
            outcome("1x", [4.0], ours=True, parts=[{"one": 1.0, "two": 2.5}]),
            outcome("2x", [8.0], parts=[{"one": 3.0, "two": 5.0}]),
        ],
    )
    return campaign(versus, stages, Result("nothing", "no data", skipped="the data are not here"))
