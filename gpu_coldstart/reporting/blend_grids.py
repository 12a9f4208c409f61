"""What is known of blends, for readers: their experts, their teachers, their dial."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_coldstart.evaluation.groups import EVERYWHERE
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Block, Fold, Grid, Text, number, percent
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, lines_of
from gpu_coldstart.runs import paths

__all__ = ["blends", "discovery", "experts"]


def experts(table: Table) -> Iterator[Block]:
    """What each expert added; nothing without a strategy made of others."""
    lines = lines_of(table)
    if not lines:
        return
    yield Text(
        "Some strategies are made of others. Which of them help is judged on validation users: by "
        "how many points of NDCG the lists were better with an expert than without, and whether "
        "that is beyond the standard error."
    )
    yield Grid(
        "experts-table",
        "Experts in the order in which they were tried",
        ["space", "strategy", "expert", "NDCG added", "kept"],
        [
            [
                space_name(line["space"]),
                strategy_name(line["strategy"]),
                strategy_name(line["expert"]),
                percent(line["added"], sign=True),
                "kept" if line["kept"] else "",
            ]
            for line in lines
        ],
        frozenset({0, 1, 2, 4}),
        paths.csv("experts"),
    )


def blends(table: Table) -> Iterator[Block]:
    """NDCG by the number of users who taught a blend; nothing without one."""
    lines = lines_of(table)
    if not lines:
        return
    yield Text(
        "A strategy made of others is taught by validation users. With fewer of them it is worse; "
        "as long as it is no better than the best of the others alone, it is not worth having. "
        "NDCG of users by whom it was not taught."
    )
    yield Grid(
        "blends-table",
        "NDCG in per cent by the number of users who taught it",
        ["space", "strategy", "users", "NDCG", "best of the others alone"],
        [
            [
                space_name(line["space"]),
                strategy_name(line["strategy"]),
                str(line["users"]),
                percent(line["ndcg"]),
                percent(line["single"]),
            ]
            for line in lines
        ],
        frozenset({0, 1}),
        paths.csv("blends"),
    )


def discovery(table: Table) -> Iterator[Block]:
    """Accuracy and exposure at each setting of the dial; nothing without a strategy that has one.

    Parameters
    ----------
    table : Table
        The evaluation's table ``discovery``.
    """
    lines = lines_of(table)
    if not lines:
        return
    k = lines[0]["k"]
    yield Text(
        "Best has a dial, strategies.best_discovery: so many times the logarithm of a track's "
        "popularity rank is added to its score. Measured on validation users, each ranked by the "
        "weights that users of other folds taught."
    )
    yield Grid(
        "discovery-table",
        f"NDCG@{k} of the validation users, share of their {k} tracks outside the 1000 most "
        "popular, share of the catalogue ever recommended (per cent), inequality between tracks "
        "(Gini), and novelty in bits",
        ["dial", "strategy", "space", f"NDCG@{k}", "outside", "coverage", "Gini", "novelty"],
        [
            [
                *_head(line),
                percent(line["coverage"]),
                number(line["gini"], 3),
                number(line["novelty"], 2),
            ]
            for line in lines
            if line["country"] == EVERYWHERE
        ],
        frozenset({1, 2}),
        paths.csv("discovery"),
    )
    countries = [line for line in lines if line["country"] != EVERYWHERE]
    if countries:
        grid = Grid(
            "discovery-countries",
            f"NDCG@{k} and share outside the 1000 most popular tracks by country, in per cent",
            ["dial", "strategy", "space", f"NDCG@{k}", "outside", "country", "users"],
            [[*_head(line), line["country"], str(line["users"])] for line in countries],
            frozenset({1, 2, 5}),
        )
        yield Fold("The numbers by country", [grid])


def _head(line: Line) -> list[str]:
    return [
        f"{line['discovery']:g}",
        strategy_name(line["strategy"]),
        space_name(line["space"]),
        percent(line["ndcg"]),
        percent(1 - line["share_top_1000"]),
    ]
