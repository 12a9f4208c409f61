"""How the network learned, and how near its predictions come (3.2.3)."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.ticker import LogLocator, NullFormatter

from gpu_coldstart.evaluation.tables import NETWORK
from gpu_coldstart.reporting.figures.common import (
    Drawing,
    dodged,
    handles,
    plain_numbers,
    shortened,
    space_marks,
    with_intervals,
)
from gpu_coldstart.reporting.labels import (
    space_name,
    strategy_name,
)
from gpu_coldstart.reporting.rows import Line, distinct, where
from gpu_coldstart.reporting.style import (
    grid_of_panels,
    legend_of,
    round_ticks,
    tidy,
)

__all__ = ["blends", "calibration", "learning"]

_OF_STRATEGIES = (
    " For a strategy with a state of its own, NDCG over the validation users after each of its "
    "epochs or trials."
)


def calibration(lines: list[Line]) -> Iterator[Drawing]:
    """Cosine of predictions by how much was known."""
    cohorts, marks = distinct(lines, "cohort"), space_marks(lines)
    figure, (panels,) = grid_of_panels(1, len(cohorts), (3.05, 1.9), gaps=(0.45, 0))
    for cohort, axes in zip(cohorts, panels, strict=True):
        here = where(lines, cohort=cohort)
        groups = sorted({(line["order"], line["group"], line["users"]) for line in here})
        tidy(axes, f"{cohort.capitalize()} users", x="interactions on the registration day; users")
        for i, (space, look) in enumerate(marks.items()):
            mine = sorted(where(here, space=space), key=lambda line: int(line["order"]))
            xs = [x + dodged(i, len(marks), 0.2) for x in range(len(mine))]
            with_intervals(axes, xs, mine, look, linked=True, scale=1)
        axes.set_xticks(
            range(len(groups)), [f"{shortened(group)}\n{users}" for _, group, users in groups]
        )
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.yaxis.set_major_locator(round_ticks(5))
    panels[0].set_ylabel("cosine")
    legend_of(figure, handles(marks, space_name, line=True), len(marks))
    targets = "; ".join(f"{line['cohort']} users, {line['against']}" for line in
                     {line["cohort"]: line for line in lines}.values())  # fmt: skip
    yield Drawing(
        "calibration",
        "calibration",
        "How near predictions come",
        "Mean cosine of predictions to where they should land, with 95 % bootstrap intervals: "
        f"{targets}.",
        figure,
    )


def learning(lines: list[Line]) -> Iterator[Drawing]:
    """Loss and validation cosine of the networks by epoch, and what strategies learned."""
    marks = space_marks(lines)
    shown = {NETWORK: {"train_loss": "Training loss", "validation_cosine": "Validation cosine"}}
    for name in distinct(lines, "trained"):
        if name != NETWORK:
            shown[name] = {"validation_ndcg": f"Validation NDCG, {strategy_name(name)}"}
    columns = [(trained, *pair) for trained, pairs in shown.items() for pair in pairs.items()]
    figure, (panels,) = grid_of_panels(1, len(columns), (3.0, 1.9), left=0.7, gaps=(0.65, 0))
    for (trained, column, title), axes in zip(columns, panels, strict=True):
        tidy(axes, title, x="epoch")
        for space, look in marks.items():
            mine = where(lines, space=space, trained=trained)
            xs = [line["epoch"] for line in mine]
            axes.plot(xs, [line[column] for line in mine], color=look.color, linestyle=look.line)
            kept = where(mine, kept=True)
            axes.plot(
                [line["epoch"] for line in kept], [line[column] for line in kept],
                color=look.color, marker=look.marker, markersize=6.5, linestyle="",
            )  # fmt: skip
        axes.xaxis.set_major_locator(round_ticks(6, integer=True))
        axes.yaxis.set_major_locator(round_ticks(5))
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    panels[0].yaxis.set_major_formatter(plain_numbers())
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    legend_of(figure, handles(marks, space_name, line=True), len(marks))
    yield Drawing(
        "learning",
        "learning",
        "How training went",
        "Loss over the warm users and cosine over the validation users after each epoch; the "
        "marker is the epoch whose network is kept." + (_OF_STRATEGIES if len(shown) > 1 else ""),
        figure,
    )


def blends(lines: list[Line]) -> Iterator[Drawing]:
    """How good strategies made of others are by the number of users who teach them."""
    strategies, marks = distinct(lines, "strategy"), space_marks(lines)
    figure, (panels,) = grid_of_panels(1, len(strategies), (3.6, 1.9), gaps=(0.65, 0))
    for strategy, axes in zip(strategies, panels, strict=True):
        tidy(axes, strategy_name(strategy), x="validation users", y="NDCG in per cent")
        for space, look in marks.items():
            mine = where(lines, space=space, strategy=strategy)
            xs = [line["users"] for line in mine]
            axes.plot(
                xs, [100 * line["ndcg"] for line in mine],
                color=look.color, marker=look.marker, linestyle=look.line,
            )  # fmt: skip
            axes.plot(xs, [100 * line["single"] for line in mine], color=look.color, linewidth=0.7)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(plain_numbers())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(round_ticks(5))
    legend_of(figure, handles(marks, space_name, line=True), len(marks))
    yield Drawing(
        "blends",
        "blends",
        "How many validation users it takes",
        "NDCG of validation users whose lists were blended as so many others teach, and, as a thin "
        "line, that of the best of the blended strategies alone.",
        figure,
    )
