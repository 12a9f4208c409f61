"""What several figures need: looks of series, legends, marks with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from gpu_coldstart.evaluation.groups import SMALLER
from gpu_coldstart.registry import SPACES, STRATEGIES
from gpu_coldstart.reporting.rows import Line, distinct
from gpu_coldstart.reporting.style import Mark, mark

__all__ = [
    "Drawing",
    "dodged",
    "handles",
    "plain_numbers",
    "shortened",
    "space_marks",
    "strategy_marks",
    "with_intervals",
]


@dataclass(frozen=True)
class Drawing:
    """A figure with what is said of it.

    Attributes
    ----------
    table : str
        What it was drawn from.
    name : str
        Stem of its files.
    title : str
    caption : str
        What it shows and how to read it.
    figure : Figure
    """

    table: str
    name: str
    title: str
    caption: str
    figure: Figure


def _number(name: str, known: Sequence[str], there: Sequence[str]) -> int:
    """A series' number: its place among the built-in ones, so that it looks alike in all runs."""
    if name in known:
        return known.index(name)
    return len(known) + [each for each in there if each not in known].index(name)


def _marks(names: Sequence[str], known: Sequence[str]) -> dict[str, Mark]:
    return {name: mark(_number(name, known, names)) for name in names}


def strategy_marks(lines: list[Line]) -> dict[str, Mark]:
    """The look of each strategy."""
    return _marks(distinct(lines, "strategy"), STRATEGIES.builtin)


def space_marks(lines: list[Line]) -> dict[str, Mark]:
    """Spaces take the colours after the grey, which stands for the chart among strategies."""
    names = distinct(lines, "space")
    numbers = {name: _number(name, SPACES.builtin, names) for name in names}
    return {name: replace(mark(1 + n), line=mark(n).line) for name, n in numbers.items()}


def handles(marks: Mapping[str, Mark], name: Callable[[str], str], *, line: bool) -> list[Line2D]:
    """Entries of a legend, of markers alone or on a line."""
    return [
        Line2D(
            [], [], color=m.color, marker=m.marker, linestyle=m.line if line else "", label=name(n)
        )
        for n, m in marks.items()
    ]


def with_intervals(
    axes: Axes,
    xs: Sequence[float],
    lines: Sequence[Line],
    look: Mark,
    *,
    linked: bool,
    scale: float,
) -> None:
    """Means with their intervals at ``xs``, linked by a line or not."""
    means = [scale * line["mean"] for line in lines]
    lows = [scale * line["low"] for line in lines]
    highs = [scale * line["high"] for line in lines]
    axes.vlines(xs, lows, highs, colors=look.color, linewidth=1.1)
    axes.plot(
        xs, means, color=look.color, marker=look.marker, linestyle=look.line if linked else ""
    )


def dodged(place: int, of: int, span: float) -> float:
    """Offset of series ``place`` out of ``of`` around a common position."""
    return 0.0 if of == 1 else span * (place / (of - 1) - 0.5)


def shortened(group: str) -> str:
    """A group's name where there is little room."""
    group = {
        "none at all": "none",
        "65 and over": "65+",
        "unknown": "n/a",
        "under 18": "<18",
        SMALLER: "smaller",
    }.get(group, group)
    return group if len(group) <= 8 else group[:7] + "…"


def plain_numbers() -> ScalarFormatter:
    """Numbers in full, not as powers of ten."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    return formatter
