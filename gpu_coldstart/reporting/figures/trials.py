"""The trials of ``gpu-coldstart tune``: how the best was found, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from gpu_coldstart.reporting.figures.common import Drawing, handles
from gpu_coldstart.reporting.rows import Line, distinct, where
from gpu_coldstart.reporting.style import grid_of_panels, legend_of, mark, round_ticks, tidy

__all__ = ["trials"]

_COLUMNS = 3
_LOOKS = {"done": mark(1), "pruned": mark(0)}


def trials(lines: list[Line]) -> Iterator[Drawing]:
    """For each part that was tuned: NDCG by trial, and by the value of every setting."""
    for component in distinct(lines, "component"):
        mine = [line for line in where(lines, component=component) if line["ndcg"] is not None]
        done = [line["ndcg"] for line in where(mine, state="done")]
        if done:
            # What was pruned early would leave no room to tell the others apart.
            edge = min(done) - 0.1 * (max(done) - min(done))
            yield _drawing(component, [line | {"ndcg": max(edge, line["ndcg"])} for line in mine])


def _drawing(component: str, lines: list[Line]) -> Drawing:
    settings = distinct(lines, "setting")
    rows = -(-(1 + len(settings)) // _COLUMNS)
    figure, grid = grid_of_panels(rows, _COLUMNS, (2.45, 1.5), gaps=(0.5, 0.75))
    first, *others = [axes for row in grid for axes in row]
    _history(first, where(lines, setting=settings[0]))
    for setting, axes in zip(settings, others, strict=False):
        _slice(axes, setting, where(lines, setting=setting))
    for axes in others[len(settings) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("NDCG in per cent")
    legend_of(figure, handles(_LOOKS, str, line=False), len(_LOOKS))
    return Drawing(
        "trials",
        f"trials-{component}",
        f"Trials of {component}",
        "NDCG of the validation users by trial, with the best so far as a line, and by the value "
        "of each setting that was searched. A trial that was pruned is shown where it was left, or "
        "at the lower edge.",
        figure,
    )


def _points(axes: Axes, xs: list[float], lines: list[Line]) -> None:
    for state, look in _LOOKS.items():
        there = [place for place, line in enumerate(lines) if line["state"] == state]
        ys = [100 * lines[place]["ndcg"] for place in there]
        here = [xs[place] for place in there]
        axes.plot(here, ys, color=look.color, marker=look.marker, linestyle="")
    axes.yaxis.set_major_locator(round_ticks(5))


def _history(axes: Axes, lines: list[Line]) -> None:
    tidy(axes, "All trials", x="trial")
    _points(axes, [line["number"] for line in lines], lines)
    done = where(lines, state="done")
    best = list(accumulate((100 * line["ndcg"] for line in done), max))
    look = _LOOKS["done"]
    axes.step([line["number"] for line in done], best, color=look.color, where="post")
    axes.xaxis.set_major_locator(round_ticks(6, integer=True))


def _slice(axes: Axes, setting: str, lines: list[Line]) -> None:
    tidy(axes, setting)
    _points(axes, [line["value"] for line in lines], lines)
    if lines[0]["words"]:
        names = dict(sorted((line["value"], _short(line["words"])) for line in lines))
        axes.set_xticks(list(names), names.values())
        axes.set_xlim(-0.5, max(names) + 0.5)
    elif lines[0]["log"]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(round_ticks(5))


def _short(name: str) -> str:
    return name if len(name) <= 7 else name[:6] + "…"
