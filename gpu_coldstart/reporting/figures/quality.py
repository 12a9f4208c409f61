"""How good every strategy is, and for whom (Table 1, Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpu_coldstart.evaluation.groups import SMALLER
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.reporting.figures.common import (
    Drawing,
    dodged,
    handles,
    shortened,
    space_marks,
    strategy_marks,
    with_intervals,
)
from gpu_coldstart.reporting.labels import (
    MEASURE_LABELS,
    SHOWN,
    STRATA_LABELS,
    space_name,
    strategy_name,
)
from gpu_coldstart.reporting.rows import Line, distinct, telling, where
from gpu_coldstart.reporting.style import (
    Mark,
    grid_of_panels,
    legend_of,
    mark,
    round_ticks,
    tidy,
)

__all__ = ["comparisons", "results", "runs", "strata"]

_CHART = "popularity"


def results(lines: list[Line]) -> Iterator[Drawing]:
    """Table 1 as dots: a panel for each measure and length of list."""
    ks = distinct(lines, "k")
    measures = [measure for measure in MEASURES if measure in distinct(lines, "measure")]
    strategies = distinct(lines, "strategy")
    marks = space_marks(lines)
    figure, panels = grid_of_panels(
        len(ks), len(measures), (1.85, 0.3 * len(strategies) + 0.25), left=1.95, gaps=(0.2, 0.62)
    )
    for k, row in zip(ks, panels, strict=True):
        for measure, axes in zip(measures, row, strict=True):
            tidy(axes, f"{MEASURE_LABELS[measure]}@{k}", lines="x")
            for place, (space, look) in enumerate(marks.items()):
                chosen = where(lines, k=k, measure=measure, space=space)
                ys = [
                    strategies.index(line["strategy"]) + dodged(place, len(marks), 0.36)
                    for line in chosen
                ]
                lows, highs = ([100 * line[end] for line in chosen] for end in ("low", "high"))
                axes.hlines(ys, lows, highs, colors=look.color, linewidth=1.4)
                means = [100 * line["mean"] for line in chosen]
                axes.plot(means, ys, color=look.color, marker=look.marker, linestyle="")
            axes.set_ylim(len(strategies) - 0.4, -0.6)
            axes.xaxis.set_major_locator(round_ticks(4))
            axes.set_yticks(range(len(strategies)), [""] * len(strategies))
        row[0].set_yticks(range(len(strategies)), map(strategy_name, strategies))
        row[0].tick_params(axis="y", labelcolor=axes.title.get_color())
    for axes in panels[-1]:
        axes.set_xlabel("per cent")
    legend_of(figure, handles(marks, space_name, line=False), len(marks))
    yield Drawing(
        "results",
        "results",
        "Quality of every strategy",
        "Mean over the test users with its 95 % bootstrap interval, in per cent; precision@K is of "
        "min(K, truth).",
        figure,
    )


def comparisons(lines: list[Line]) -> Iterator[Drawing]:
    """What every strategy adds to the chart: a panel for each space; none without the chart."""
    k = max(distinct(lines, "k"))
    gains = [_gain(line) for line in where(lines, k=k, measure="ndcg") if _CHART in _pair(line)]
    if not gains:
        return
    yield Drawing(
        "comparisons",
        "comparisons",
        f"What every strategy adds to {strategy_name(_CHART)}",
        f"Mean difference in NDCG@{k} over the test users, in points, with its 95 % bootstrap "
        "interval, user by user; left of 0 the chart is better.",
        _differences(gains, "space", space_marks(gains), k),
    )


def runs(lines: list[Line]) -> Iterator[Drawing]:
    """How far each run is ahead of the first: a panel for each space."""
    k = max(distinct(lines, "k"))
    known = [line for line in where(lines, k=k, measure="ndcg") if line["difference"] is not None]
    gains = [line | {"mean": line["difference"]} for line in known]
    looks = {run: mark(1 + place) for place, run in enumerate(distinct(gains, "run"))}
    figure = _differences(gains, "run", looks, k, legend=0.3)
    legend_of(figure, handles(looks, str, line=False), len(looks))
    first = lines[0]["run"]
    yield Drawing(
        "runs",
        "runs",
        f"What every strategy gains over the run {first}",
        f"Difference in mean NDCG@{k} over the test users, in points, with its 95 % bootstrap "
        f"interval; left of 0 {first} is better.",
        figure,
    )


def _differences(
    gains: list[Line], by: str, looks: Mapping[str, Mark], k: int, *, legend: float = 0.0
) -> Figure:
    """Differences in NDCG by strategy: a panel for each space, a mark for each value of ``by``."""
    spaces, strategies = distinct(gains, "space"), distinct(gains, "strategy")
    size = (5.7 / len(spaces) - 0.1, 0.22 * len(strategies) + 0.25)
    figure, (panels,) = grid_of_panels(
        1, len(spaces), size, legend=legend, left=1.95, gaps=(0.2, 0.2)
    )
    for space, axes in zip(spaces, panels, strict=True):
        tidy(axes, space_name(space), lines="x")
        here = where(gains, space=space)
        series = distinct(here, by)
        for place, name in enumerate(series):
            mine, look = [line for line in here if line[by] == name], looks[name]
            shift = dodged(place, len(series), 0.4)
            ys = [strategies.index(line["strategy"]) + shift for line in mine]
            lows, highs, means = (
                [100 * line[of] for line in mine] for of in ("low", "high", "mean")
            )
            axes.hlines(ys, lows, highs, colors=look.color, linewidth=1.4)
            axes.plot(means, ys, color=look.color, marker=look.marker, linestyle="")
        axes.axvline(0, color=axes.title.get_color(), linewidth=0.8)
        axes.set_ylim(len(strategies) - 0.4, -0.6)
        axes.xaxis.set_major_locator(round_ticks(4))
        axes.set_yticks(range(len(strategies)), [""] * len(strategies))
        axes.set_xlabel(f"points of NDCG@{k}")
    panels[0].set_yticks(range(len(strategies)), map(strategy_name, strategies))
    panels[0].tick_params(axis="y", labelcolor=panels[0].title.get_color())
    return figure


def _pair(line: Line) -> tuple[str, str]:
    return line["strategy_a"], line["strategy_b"]


def _gain(line: Line) -> Line:
    """A comparison with the chart as what the other strategy adds to it."""
    a, b = _pair(line)
    turned = -1 if a == _CHART else 1
    low, high = sorted((turned * line["low"], turned * line["high"]))
    mean = turned * line["difference"]
    name = b if a == _CHART else a
    return {"space": line["space"], "strategy": name, "mean": mean, "low": low, "high": high}


def strata(lines: list[Line]) -> Iterator[Drawing]:
    """Quality by what is known of a user: a figure for each space, a panel for each way to tell."""
    k = max(distinct(lines, "k"))
    chosen = where(lines, k=k, measure=SHOWN)
    marks = strategy_marks(chosen)
    for space in distinct(chosen, "space"):
        here = where(chosen, space=space)
        kinds = telling(here)
        if not kinds:
            continue
        rows = -(-len(kinds) // 2)
        legend = 0.18 * -(-len(marks) // 3) + 0.2
        figure, panels = grid_of_panels(
            rows, min(2, len(kinds)), (3.05, 1.55), legend=legend, gaps=(0.45, 0.78)
        )
        places = [axes for row in panels for axes in row]
        for by, axes in zip(kinds, places, strict=False):
            _stratum(axes, where(here, by=by), STRATA_LABELS.get(by, by), marks)
        for axes in places[len(kinds) :]:
            axes.remove()
        for row in panels:
            row[0].set_ylabel(f"P@{k} in per cent")
        legend_of(figure, handles(marks, strategy_name, line=True), 3)
        yield Drawing(
            "strata",
            f"strata-{space}",
            f"Quality by user group, in {space_name(space)} (the paper's Figure 4)",
            f"Mean precision@{k} (of min({k}, truth)) over the test users, by what is known of "
            "them at the end of the registration day, with 95 % bootstrap intervals; the number of "
            "users stands below each group.",
            figure,
        )


def _stratum(axes: Axes, lines: list[Line], title: str, marks: Mapping[str, Mark]) -> None:
    """One panel of Figure 4. Groups of numbers are linked, countries and the unknown are not."""
    tidy(axes, title)
    groups = sorted({(line["order"], line["group"], line["users"]) for line in lines})
    for i, (name, look) in enumerate(marks.items()):
        mine = sorted(where(lines, strategy=name), key=lambda line: int(line["order"]))
        xs = [x + dodged(i, len(marks), 0.44) for x in range(len(mine))]
        apart = {"unknown", SMALLER}
        counted = [line["by"] != "country" and line["group"] not in apart for line in mine]
        known = sum(counted) if all(counted[: sum(counted)]) else 0
        with_intervals(axes, xs[:known], mine[:known], look, linked=True, scale=100)
        with_intervals(axes, xs[known:], mine[known:], look, linked=False, scale=100)
    axes.set_xticks(
        range(len(groups)),
        [f"{shortened(group)}\n{users}" for _, group, users in groups],
        fontsize=6.5 if len(groups) > 7 else 7.5,
    )
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(round_ticks(4))
