"""How even the quality is over segments, for readers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_coldstart.evaluation.groups import FEWEST
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Block, Grid, Text, interval, percent
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.rows import Line, distinct, lines_of, where
from gpu_coldstart.runs import paths

__all__ = ["segment_quality"]

_SHOWN = 3
"""Segments shown from either end."""


def segment_quality(table: Table) -> Iterator[Block]:
    """The table ``segment-quality``: its spread by strategy, and the best and worst segments."""
    lines = [line for line in lines_of(table) if line["segment"] is not None]
    lines = [line for line in lines if line["users"] >= FEWEST]
    by_space = {space: where(lines, space=space) for space in distinct(lines, "space")}
    spaces = [space for space, some in by_space.items() if len(distinct(some, "segment")) > 1]
    if not spaces:
        return
    k = lines[0]["k"]
    yield Text(
        f"Test users by the segment nearest to their prediction, where {FEWEST} of them or more "
        "have the same."
    )
    rows = []
    for space in spaces:
        for strategy in distinct(lines, "strategy"):
            means = [line["mean"] for line in where(by_space[space], strategy=strategy)]
            if means:
                spread = map(percent, np.quantile(means, [0, 0.25, 0.5, 0.75, 1]).tolist())
                rows.append([strategy_name(strategy), space_name(space), str(len(means)), *spread])
    yield Grid(
        "segment-quality-table",
        f"NDCG@{k} of segments, in per cent: how it spreads over them",
        ["strategy", "space", "segments", "worst", "25 %", "median", "75 %", "best"],
        rows,
        frozenset({1}),
        paths.csv("segment-quality"),
    )
    for space in spaces:
        yield _ends(by_space[space], k)


def _ends(lines: list[Line], k: int) -> Grid:
    """The best and the worst segments of a space, by its best strategy."""
    by_strategy = {name: where(lines, strategy=name) for name in distinct(lines, "strategy")}
    best = max(by_strategy, key=lambda name: sum(n["mean"] * n["users"] for n in by_strategy[name]))
    ordered = sorted(by_strategy[best], key=lambda line: -float(line["mean"]))
    some = [*ordered[:_SHOWN], *ordered[_SHOWN:][-_SHOWN:]]
    space = lines[0]["space"]
    return Grid(
        f"segment-ends-{space}",
        f"{space_name(space)}: the segments that {strategy_name(best)} serves best and worst, "
        f"NDCG@{k} in per cent, with 95 % intervals by the normal approximation",
        ["segment", "test users", "NDCG", "interval", "who"],
        [
            [
                str(line["segment"]),
                str(line["users"]),
                percent(line["mean"]),
                interval(line["low"], line["high"]),
                line["description"],
            ]
            for line in some
        ],
        frozenset({4}),
    )
