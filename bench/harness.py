"""How the contenders of a benchmark take turns."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bench import measure
from bench.cases import (
    LOWER,
    SAME,
    WARM_UP_SCALE,
    Benchmark,
    Case,
    Contender,
    Rule,
    Setting,
    UnavailableError,
    Work,
)
from bench.results import Outcome, Result
from gpu_coldstart.engine import Engine

__all__ = ["run", "verdict"]


@dataclass
class _Runner:
    """A contender at work."""

    contender: Contender
    work: Work | None = None
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.contender.name, self.contender.ours)

    def stop(self, status: str, reason: str) -> None:
        """Take no further part."""
        self.outcome = replace(self.outcome, status=status, reason=reason)
        self.work = None

    def attempt(self, work: Callable[[], Any]) -> Any:
        """The result of ``work()``; an exception is put down, and the contender stopped."""
        try:
            return work()
        except UnavailableError as reason:
            self.stop("missing", str(reason))
        # Whatever a library raises, the other contenders go on.
        except Exception as error:
            self.stop("failed", f"{type(error).__name__}: {error}")
        return None


def run(
    benchmark: Benchmark,
    setting: Setting,
    *,
    rounds: int,
    limit: float,
    ours_only: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measure a benchmark: warm up, then every contender once a round, in rotating order.

    Parameters
    ----------
    rounds : int
        At most; slow benchmarks set a lower bound of their own.
    limit : float
        Seconds. A contender that took longer in one call is not called again; nothing is broken
        off in the middle.
    ours_only : bool
        Leave the rivals out.
    say : callable
        Told a line about each call.

    Returns
    -------
    Result
    """
    scale = None if benchmark.one_size else setting.scale
    try:
        case = benchmark.prepare(setting)
    except UnavailableError as reason:
        return Result(benchmark.name, benchmark.what, skipped=str(reason), scale=scale)
    gc.collect()
    gc.freeze()  # so that collecting before each call looks at what the calls made only
    try:
        return _measured(
            benchmark, case, setting, rounds=rounds, limit=limit, ours_only=ours_only, say=say
        )
    finally:
        gc.unfreeze()


def _measured(
    benchmark: Benchmark,
    case: Case,
    setting: Setting,
    *,
    rounds: int,
    limit: float,
    ours_only: bool,
    say: Callable[[str], None],
) -> Result:
    """The rounds, and what is made of them."""
    runners = [_Runner(one) for one in _invited(case, setting.engine, ours_only=ours_only)]
    for runner in runners:
        _admit(runner)
    if benchmark.slow and setting.scale > WARM_UP_SCALE:
        small = benchmark.prepare(setting.smaller())
        known = {one.name: one for one in small.contenders}
        # Sizes of our own work do the same things, which need be warmed up once.
        first = runners if case.versus else runners[:1]
        _warm_up(setting.engine, first, lambda one: known[one.name].start())
    _take_up(runners)
    if not benchmark.slow:
        _warm_up(setting.engine, runners, lambda one: _of(runners, one))
    results: dict[str, Any] = {}
    for number in range(min(rounds, benchmark.most_rounds)):
        for runner in _rotated(runners, number):
            name = f"{benchmark.name}  {runner.contender.name}"
            if _turn(runner, name, case, setting.engine, number, limit=limit, results=results):
                say(f"{name}  {runner.outcome.seconds[-1]:.4g} s")
    _judge(runners, case, results)
    for runner in runners:
        _follow(runner)
    return Result(
        benchmark.name,
        benchmark.what,
        sizes=case.sizes,
        items=case.items,
        bytes=case.bytes,
        flops=case.flops,
        versus=case.versus,
        outcomes=[runner.outcome for runner in runners],
        scale=None if benchmark.one_size else setting.scale,
    )


def _invited(case: Case, engine: Engine, *, ours_only: bool) -> Iterable[Contender]:
    for one in case.contenders:
        if one.ours or not case.versus or (one.device == engine.name and not ours_only):
            yield one


def _admit(runner: _Runner) -> None:
    """Say who cannot take part, and why."""
    missing = [name for name in runner.contender.needs if importlib.util.find_spec(name) is None]
    if missing:
        extra = "bench" if runner.contender.device == "cpu" else "cuda13] or [cuda12"
        runner.stop(
            "missing", f"{', '.join(missing)} not installed: pip install 'gpu-coldstart[{extra}]'"
        )
    elif runner.contender.refused:
        runner.stop("left out", runner.contender.refused)


def _take_up(runners: list[_Runner]) -> None:
    """Let each contender lay out its input."""
    for runner in runners:
        if runner.outcome.status == "ran":
            runner.work = runner.attempt(runner.contender.start)


def _of(runners: list[_Runner], contender: Contender) -> Work:
    work = next(one.work for one in runners if one.contender is contender)
    assert work is not None
    return work


def _warm_up(engine: Engine, runners: list[_Runner], work_of: Callable[[Contender], Work]) -> None:
    """One call of each contender that counts only for its memory."""
    for runner in runners:
        if runner.outcome.status != "ran":
            continue
        work = runner.attempt(partial(work_of, runner.contender))
        found = work and runner.attempt(partial(measure.call, engine, "warm-up", work))
        if found is not None:
            runner.outcome = replace(runner.outcome, peak_mb=round(found[1].peak_mb, 1))


def _rotated(runners: list[_Runner], number: int) -> list[_Runner]:
    """The order of a round: everyone begins equally often."""
    first = number % len(runners)
    return [*runners[first:], *runners[:first]]


def _turn(
    runner: _Runner,
    name: str,
    case: Case,
    engine: Engine,
    number: int,
    *,
    limit: float,
    results: dict[str, Any],
) -> bool:
    """One timed call, if the contender still takes part; its first result is kept to be judged."""
    work, before = runner.work, runner.outcome
    if work is None:
        return False
    found = runner.attempt(lambda: measure.call(engine, name, work))
    if found is None:
        return False
    result, taken = found
    if before.name not in results:
        results[before.name] = runner.attempt(lambda: runner.contender.common(result))
    parts = [] if case.parts is None else [case.parts(result)]
    runner.outcome = replace(
        runner.outcome,
        rounds=[*before.rounds, number],
        seconds=[*before.seconds, taken.seconds],
        device_peak_mb=[*before.device_peak_mb, round(taken.device_peak_mb, 1)],
        peak_mb=max(before.peak_mb, round(taken.peak_mb, 1)),
        parts=[*before.parts, *parts],
    )
    if taken.seconds > limit and runner.outcome.status == "ran":
        runner.outcome = replace(
            runner.outcome, reason=f"a call took more than {limit:g} s: not called again"
        )
        runner.work = None
    return True


def _judge(runners: list[_Runner], case: Case, results: dict[str, Any]) -> None:
    """Put down every result's quality, and how it compares with ours."""
    reference = next(
        (results.get(one.contender.name) for one in runners if one.contender.ours), None
    )
    ours: dict[str, float] | None = None
    for runner in sorted(runners, key=lambda one: not one.contender.ours):
        result = results.get(runner.contender.name)
        if reference is None or result is None:
            continue
        quality = runner.attempt(partial(case.quality, result, reference))
        if runner.contender.ours:
            ours = quality
        if quality is not None and ours is not None:
            found = verdict(case.rules, quality, ours)
            runner.outcome = replace(runner.outcome, quality=quality, verdict=found)


def verdict(rules: Iterable[Rule], quality: dict[str, float], ours: dict[str, float]) -> str:
    """How a quality compares with ours by all rules together.

    Returns
    -------
    {"equal", "better", "worse", "differs"}
        ``differs`` where something that should be the same is not; else ``worse`` where anything
        is worse.

    Examples
    --------
    >>> verdict([Rule("inertia", "lower", 0.01)], {"inertia": 2.3}, {"inertia": 2.0})
    'worse'
    """
    found = {_compared(rule, quality[rule.name], ours[rule.name]) for rule in rules}
    for word in ("differs", "worse", "better"):
        if word in found:
            return word
    return "equal"


def _compared(rule: Rule, value: float, ours: float) -> str:
    if rule.kind == SAME:
        return "equal" if abs(value - ours) <= rule.tolerance else "differs"
    gain = ours - value if rule.kind == LOWER else value - ours
    margin = rule.tolerance * abs(ours)
    if gain > margin:
        return "better"
    # Written so that a value that is no number is worse.
    return "equal" if gain >= -margin else "worse"


def _follow(runner: _Runner) -> None:
    """Record the objective against time, of those that have one and came this far."""
    trace = runner.contender.trace
    if trace is None or not runner.outcome.seconds or runner.outcome.status != "ran":
        return
    found = runner.attempt(trace)
    if found is not None:
        runner.outcome = replace(runner.outcome, trace=found)
