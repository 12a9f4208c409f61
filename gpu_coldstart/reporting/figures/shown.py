"""What is recommended and displayed (Figures 5 and 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from gpu_coldstart.evaluation.groups import EVERYWHERE
from gpu_coldstart.reporting.figures.common import (
    Drawing,
    dodged,
    handles,
    plain_numbers,
    shortened,
    space_marks,
    strategy_marks,
)
from gpu_coldstart.reporting.labels import (
    RATE_LABELS,
    arm_name,
    space_name,
    strategy_name,
)
from gpu_coldstart.reporting.palette import LIGHT
from gpu_coldstart.reporting.rows import Line, distinct, large, where
from gpu_coldstart.reporting.style import Mark, grid_of_panels, legend_of, mark, round_ticks, tidy

__all__ = ["discovery", "exposure", "replay"]

_COUNTRIES = 5
"""Countries in Figure 5, as in the paper."""


def exposure(lines: list[Line]) -> Iterator[Drawing]:
    """How popular the recommended tracks are: everybody, and the commonest countries."""
    spaces, marks = distinct(lines, "space"), strategy_marks(lines)
    k = max(distinct(lines, "k"))
    of_one = where(lines, space=spaces[0], strategy=next(iter(marks)))
    named = [line for line in of_one if line["country"] != EVERYWHERE]
    countries = [EVERYWHERE, *distinct(large(named), "country")[:_COUNTRIES]]
    step = len(marks) + 1.5
    height = 0.105 * step * len(countries) + 0.2
    legend = 0.18 * -(-len(marks) // 3) + 0.2
    figure, (panels,) = grid_of_panels(
        1, len(spaces), (5.9 / len(spaces), height), left=0.95, gaps=(0.25, 0), legend=legend
    )
    for space, axes in zip(spaces, panels, strict=True):
        tidy(
            axes, space_name(space), x="popularity rank of the track, 1 the most popular", lines="x"
        )
        for i, (name, look) in enumerate(marks.items()):
            mine = where(lines, space=space, strategy=name)
            there = [line for line in mine if line["country"] in countries]
            ys = [countries.index(line["country"]) * step + i for line in there]
            _spread(axes, ys, there, look)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10))
        axes.xaxis.set_major_formatter(plain_numbers())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(len(countries) * step - 0.75, -1.25)
        middle = [place * step + (len(marks) - 1) / 2 for place in range(len(countries))]
        axes.set_yticks(middle, [""] * len(middle))
    panels[0].set_yticks(
        middle,
        ["everybody" if country == EVERYWHERE else shortened(country) for country in countries],
    )
    panels[0].tick_params(axis="y", labelcolor=panels[0].title.get_color())
    legend_of(figure, handles(marks, strategy_name, line=False), 3)
    yield Drawing(
        "exposure",
        "exposure",
        "How popular the recommended tracks are (the paper's Figure 5)",
        f"Popularity ranks of the {k} tracks recommended to each test user, for everybody and for "
        "the commonest countries: median (marker), middle half (thick) and middle nine tenths "
        "(thin). Further right is less popular.",
        figure,
    )


def _spread(axes: Axes, ys: Sequence[float], lines: Sequence[Line], look: Mark) -> None:
    """Medians, quartiles and outer percentiles of ranks, each on its line."""
    ranks = {p: [line[p] for line in lines] for p in ("p5", "p25", "p50", "p75", "p95")}
    axes.hlines(ys, ranks["p5"], ranks["p95"], colors=look.color, linewidth=0.8)
    axes.hlines(ys, ranks["p25"], ranks["p75"], colors=look.color, linewidth=2.8)
    paper = axes.get_facecolor()
    axes.plot(
        ranks["p50"], ys, color=look.color, marker=look.marker, linestyle="",
        markeredgecolor=paper, markeredgewidth=0.6,
    )  # fmt: skip


def discovery(lines: list[Line]) -> Iterator[Drawing]:
    """Accuracy against how much lies beyond the hits: a panel for each strategy with a dial."""
    strategies, marks = distinct(lines, "strategy"), space_marks(lines)
    k = lines[0]["k"]
    figure, (panels,) = grid_of_panels(1, len(strategies), (4.2, 2.4))
    for strategy, axes in zip(strategies, panels, strict=True):
        tidy(axes, strategy_name(strategy), x="per cent of tracks outside the 1000 most popular")
        for place, (space, look) in enumerate(marks.items()):
            mine = where(lines, space=space, strategy=strategy, country=EVERYWHERE)
            side = 1 - 2 * (place % 2)  # labels above the first line and below the next
            xs = [100 * (1 - line["share_top_1000"]) for line in mine]
            ys = [100 * line["ndcg"] for line in mine]
            axes.plot(xs, ys, color=look.color, marker=look.marker, linestyle=look.line)
            for x, y, line in zip(xs, ys, mine, strict=True):
                axes.annotate(
                    f"{line['discovery']:g}", (x, y), xytext=(7 * side, 8 * side),
                    textcoords="offset points", color=look.color, fontsize=8,
                    horizontalalignment="center", verticalalignment="center",
                )  # fmt: skip
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.yaxis.set_major_locator(round_ticks(5))
    panels[0].set_ylabel(f"NDCG@{k}, per cent")
    legend_of(figure, handles(marks, space_name, line=True), len(marks))
    yield Drawing(
        "discovery",
        "discovery",
        "Accuracy against discovery",
        f"NDCG of the {k} tracks recommended to each validation user, against the share of these "
        "outside the 1000 most popular. Each point is a value of strategies.best_discovery, which "
        "stands beside it.",
        figure,
    )


def replay(lines: list[Line]) -> Iterator[Drawing]:
    """Rates of the arms relative to the first arm's: a panel for each measure and design."""
    known = [line for line in lines if line["relative"] is not None]
    if not known:
        return
    measures, designs = distinct(known, "measure"), distinct(known, "design")
    spaces, arms = distinct(known, "space"), distinct(known, "arm")
    marks = {arm: mark(4 - place) for place, arm in enumerate(arms)}
    height = 0.24 * len(spaces) * len(arms) + 0.25
    figure, panels = grid_of_panels(
        len(measures), len(designs), (2.9, height), left=0.85, gaps=(0.25, 0.6)
    )
    for measure, row in zip(measures, panels, strict=True):
        for design, axes in zip(designs, row, strict=True):
            if not where(known, measure=measure, design=design):
                axes.remove()
                continue
            tidy(axes, f"{RATE_LABELS.get(measure, measure)}, {design}", lines="x")
            for place, (arm, look) in enumerate(marks.items()):
                chosen = where(known, measure=measure, design=design, arm=arm)
                ys = [
                    spaces.index(line["space"]) + dodged(place, len(arms), 0.4) for line in chosen
                ]
                sure = [
                    (y, 100 * line["relative_low"], 100 * line["relative_high"])
                    for y, line in zip(ys, chosen, strict=True)
                    if line["relative_low"] is not None
                ]
                for y, low, high in sure:
                    axes.hlines(y, low, high, colors=look.color, linewidth=1.4)
                means = [100 * line["relative"] for line in chosen]
                axes.plot(means, ys, color=look.color, marker=look.marker, linestyle="")
            axes.axvline(0, color=LIGHT["muted"], linewidth=0.9)
            axes.set_ylim(len(spaces) - 0.45, -0.55)
            axes.xaxis.set_major_locator(round_ticks(5))
            axes.set_yticks(range(len(spaces)), [""] * len(spaces))
        row[0].set_yticks(range(len(spaces)), map(space_name, spaces))
        row[0].tick_params(axis="y", labelcolor=axes.title.get_color())
    for axes in panels[-1]:
        axes.set_xlabel("per cent more than the default arm")
    legend_of(figure, handles(marks, arm_name, line=False), len(marks))
    yield Drawing(
        "replay",
        "replay",
        "Carousels replayed (the paper's Figure 7)",
        "Rates at which playlists on display were streamed or made a favourite later, relative to "
        "the default arm, with 95 % bootstrap intervals. Each user has one arm in cohorts, and "
        "every arm in paired.",
        figure,
    )
