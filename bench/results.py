"""What a campaign of benchmarks found: its JSON form, and what follows from the numbers."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_coldstart.errors import UserError

__all__ = [
    "FORMAT",
    "Campaign",
    "Outcome",
    "Ratio",
    "Result",
    "Spread",
    "best_rival",
    "by_size",
    "load",
    "ratio",
    "save",
    "spread",
]

FORMAT = 1
"""Version of the JSON form; another one is refused."""


@dataclass(frozen=True)
class Outcome:
    """What became of one contender.

    Attributes
    ----------
    name : str
    ours : bool
        Whether it is this project's own way (or the size that others are compared with).
    status : {"ran", "missing", "left out", "failed"}
    reason : str
        Why it did not run, or not in every round.
    rounds : list of int
        The rounds it ran in.
    seconds, device_peak_mb : list of float
        Of each of them.
    peak_mb : float
        Most growth of resident memory in any call, the one that warmed up included.
    quality : dict of str to float
    verdict : {"", "equal", "better", "worse", "differs"}
        Of the quality, compared with ours; empty where it was not compared.
    parts : list of dict of str to float
        For each round, the seconds of each part of the work, where it has parts.
    trace : list of (seconds, value)
        The objective against time, of work that proceeds by steps.
    """

    name: str
    ours: bool
    status: str = "ran"
    reason: str = ""
    rounds: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    device_peak_mb: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    quality: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    parts: list[dict[str, float]] = field(default_factory=list)
    trace: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """One benchmark at one scale.

    Attributes
    ----------
    name, what : str
    skipped : str
        Why nothing ran; empty where something did.
    sizes : dict of str to int
    items : str
        What ``sizes[items]`` counts makes the rate; empty where there is none.
    bytes, flops : float
        The least that one call must read and write, and compute; 0 where it is not told.
    versus : bool
        Whether contenders are rivals; else they are sizes of our own work.
    outcomes : list of Outcome
    scale : float or None
        Of the paper's sizes; None where the data are of one size.
    """

    name: str
    what: str
    skipped: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    items: str = ""
    bytes: float = 0.0
    flops: float = 0.0
    versus: bool = True
    outcomes: list[Outcome] = field(default_factory=list)
    scale: float | None = None

    @property
    def ours(self) -> Outcome | None:
        """The outcome that others are compared with, if it ran."""
        return next((one for one in self.outcomes if one.ours and one.seconds), None)


@dataclass(frozen=True)
class Campaign:
    """Everything one command measured: when, where, with which settings."""

    date: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    results: list[Result]

    @property
    def scales(self) -> list[float]:
        """Those that were asked for, from small to large: of a sweep more than one."""
        return sorted(self.settings["scales"])


@dataclass(frozen=True)
class Spread:
    """Least, quartiles and most of some numbers."""

    low: float
    first: float
    median: float
    third: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """Our time over a rival's, round by round; below 1 we are faster."""

    rival: str
    spread: Spread


def spread(values: list[float]) -> Spread:
    """Summarise at least one number.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    Spread(low=1.0, first=1.5, median=2.0, third=2.5, high=3.0)
    """
    if len(values) == 1:
        return Spread(*values * 5)
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(min(values), first, median, third, max(values))


def ratio(one: Outcome, other: Outcome) -> Ratio | None:
    """The ratio of times, over the rounds that both ran in; None where there are none."""
    theirs = dict(zip(other.rounds, other.seconds, strict=True))
    pairs = [
        (seconds, theirs[number])
        for number, seconds in zip(one.rounds, one.seconds, strict=True)
        if theirs.get(number, 0.0) > 0.0
    ]
    if not pairs:
        return None
    return Ratio(other.name, spread([mine / its for mine, its in pairs]))


def best_rival(result: Result) -> Outcome | None:
    """The fastest rival whose result is as good as ours or better."""
    rivals = [
        one
        for one in result.outcomes
        if not one.ours and one.seconds and one.verdict in {"equal", "better"}
    ]
    return min(rivals, key=lambda one: statistics.median(one.seconds), default=None)


def by_size(campaign: Campaign) -> dict[str, dict[float, Ratio]]:
    """The ratio to the best rival at each scale, of every benchmark that has one there."""
    found: dict[str, dict[float, Ratio]] = {}
    for result in campaign.results:
        ours, rival = result.ours, best_rival(result)
        if result.scale is None or ours is None or rival is None or not result.versus:
            continue
        against = ratio(ours, rival)
        if against is not None:
            found.setdefault(result.name, {})[result.scale] = against
    return found


def save(path: Path, campaign: Campaign) -> None:
    """Write a campaign as JSON.

    Raises
    ------
    UserError
        When the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **asdict(campaign)}, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error


def load(path: Path) -> Campaign:
    """Read what :func:`save` wrote.

    Raises
    ------
    UserError
        When the file cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): write it with bench run --out") from error
    remedy = "give a file that `python -m bench run --out` wrote"
    if not isinstance(content, dict) or "format" not in content:
        raise UserError(f"{path} holds no benchmarks: {remedy}")
    if content.pop("format") != FORMAT:
        raise UserError(f"{path} has another format than {FORMAT}: run the benchmarks again")
    try:
        settings = content["settings"]
        # Files from before there were sweeps tell one scale, that of all results.
        if "scale" in settings:
            settings["scales"] = [settings.pop("scale")]
        results = [_result(entry) for entry in content.pop("results")]
        return Campaign(**content, results=results)
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} does not hold what it should ({error}): {remedy}") from error


def _result(entry: dict[str, Any]) -> Result:
    outcomes = [
        Outcome(**one | {"trace": [(float(x), float(y)) for x, y in one["trace"]]})
        for one in entry.pop("outcomes")
    ]
    return Result(**entry, outcomes=outcomes)
