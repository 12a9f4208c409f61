"""What is known of blends, for readers: their experts, their teachers, their dial."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_coldstart.evaluation.groups import EVERYWHERE
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Block, Fold, Grid, Text, number, percent
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, lines_of, where
from gpu_coldstart.runs import paths

__all__ = ["blends", "discovery", "experts", "weights"]


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


def weights(table: Table) -> Iterator[Block]:
    """What lists are ordered by, and whether a track may come again; nothing without a blend."""
    lines = lines_of(table)
    if not lines:
        return
    yield Text("What people come back to differs between data sets, so validation users decide.")
    for line in where(lines, name="streamed_songs"):
        yield Text(
            f"{strategy_name(line['strategy'])} in {space_name(line['space'])} "
            f"{_again(line['weight'])}."
        )
    grid = Grid(
        "weights-table",
        "Weights of the logarithm of 101 / rank (rank) and of the nearness to the best score "
        "(score) with each strategy, of the logarithm of one by popularity rank, and of that of "
        "1 + the number of events of a signal (count)",
        ["space", "strategy", "kind", "what", "of", "weight"],
        [
            [
                space_name(line["space"]),
                strategy_name(line["strategy"]),
                line["kind"],
                line["name"],
                line["feature"],
                number(line["weight"], 3),
            ]
            for line in lines
        ],
        frozenset({0, 1, 2, 3, 4}),
        paths.csv("weights"),
    )
    yield Fold("The numbers", [grid])


def _again(weight: float) -> str:
    """Whether a list may repeat what was streamed on registration day, by the weight of that."""
    if not weight:
        return "takes the lists of one strategy as they are"
    verb = "lifts" if weight > 0 else "pushes down"
    return f"{verb} what the user streamed that day, beside other tracks of its artist and album"


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
