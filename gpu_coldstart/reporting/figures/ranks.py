"""Mean ranks of strategies with their critical difference (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.reporting.figures.common import Drawing, space_marks
from gpu_coldstart.reporting.labels import MEASURE_LABELS, space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, distinct, where
from gpu_coldstart.reporting.style import grid_of_panels, round_ticks, tidy

__all__ = ["ranks"]


def ranks(lines: list[Line]) -> Iterator[Drawing]:
    """A figure for each data set, a panel for each space, the best strategy above."""
    k, measure = max(distinct(lines, "k")), MEASURES[-1]
    marks = space_marks(lines)
    for place, data in enumerate(distinct(lines, "data")):
        here = where(lines, data=data, k=k, measure=measure)
        spaces = distinct(here, "space")
        most = max(len(where(here, space=space)) for space in spaces)
        figure, panels = grid_of_panels(
            len(spaces), 1, (4.2, 0.19 * most + 0.2), left=1.95, gaps=(0.2, 0.7), legend=0.0
        )
        for space, (axes,) in zip(spaces, panels, strict=True):
            chosen = sorted(where(here, space=space), key=lambda line: float(line["rank"]))
            look, half = marks[space], chosen[0]["critical"] / 2
            tidy(axes, space_name(space), lines="x")
            axes.axvspan(
                chosen[0]["rank"] - half, chosen[0]["rank"] + half, color=look.color, alpha=0.15
            )
            means = [line["rank"] for line in chosen]
            ys = range(len(chosen))
            axes.hlines(ys, [m - half for m in means], [m + half for m in means], colors=look.color)
            axes.plot(means, ys, color=look.color, marker=look.marker, linestyle="")
            axes.set_ylim(len(chosen) - 0.4, -0.6)
            axes.set_yticks(ys, [strategy_name(line["strategy"]) for line in chosen])
            axes.tick_params(axis="y", labelcolor=axes.title.get_color())
            axes.xaxis.set_major_locator(round_ticks(6))
        panels[-1][0].set_xlabel("mean rank, 1 the best")
        yield Drawing(
            "benchmark",
            f"ranks-{place}",
            f"Mean ranks on {data}",
            f"Mean over users of each strategy's rank by {MEASURE_LABELS[measure]}@{k}. Bars are "
            "as wide as the critical difference of Nemenyi's test at 5 %: where two do not "
            "overlap, the strategies differ. The band is the best one's.",
            figure,
        )
