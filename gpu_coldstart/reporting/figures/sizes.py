"""How much is known of users, and how much there is to find for them."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_coldstart.reporting.figures.common import Drawing, handles
from gpu_coldstart.reporting.labels import SIZE_LABELS
from gpu_coldstart.reporting.rows import Line, distinct, where
from gpu_coldstart.reporting.style import grid_of_panels, legend_of, mark, round_ticks, tidy

__all__ = ["sizes"]

_LOOKS = {"warm": mark(0), "validation": mark(2), "test": mark(1)}


def sizes(lines: list[Line]) -> Iterator[Drawing]:
    """Histograms of the cohorts: a panel for each number."""
    kinds = distinct(lines, "what")
    figure, (panels,) = grid_of_panels(1, len(kinds), (3.05, 1.55), gaps=(0.45, 0))
    for what, axes in zip(kinds, panels, strict=True):
        here = where(lines, what=what)
        first = min(line["least"] for line in here if line["users"])
        here = [line for line in here if line["least"] >= first]
        bins = sorted({(line["least"], line["most"]) for line in here})
        tidy(axes, SIZE_LABELS[what])
        for cohort in distinct(here, "cohort"):
            mine, look = where(here, cohort=cohort), _LOOKS[cohort]
            everybody = sum(line["users"] for line in mine)
            shares = [100 * line["users"] / everybody for line in mine]
            edges = [place - 0.5 for place in range(len(mine) + 1)]
            axes.stairs(shares, edges, color=look.color, linestyle=look.line)
            axes.plot(range(len(mine)), shares, color=look.color, marker=look.marker, linestyle="")
        names = [f"{a}" if a == b else f"{a}-{b}" for a, b in bins]
        axes.set_xticks(range(len(bins)), names, fontsize=6.5, rotation=30 if len(bins) > 7 else 0)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(round_ticks(5))
    panels[0].set_ylabel("per cent of users")
    cohorts = distinct(lines, "cohort")
    looks = {cohort: _LOOKS[cohort] for cohort in cohorts}
    legend_of(figure, handles(looks, str.capitalize, line=True), len(cohorts))
    yield Drawing(
        "sizes",
        "sizes",
        "How much users did, and how much there is to find",
        "Share of the users of each cohort by events on the registration day, and by the tracks "
        "that they streamed on the days after it, which are to be found.",
        figure,
    )
