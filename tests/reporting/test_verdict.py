"""The sentences at the top of the report, from made-up tables."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.evaluation.protocol import Row, Summary
from gpu_coldstart.evaluation.tables import SCHEMAS, Table
from gpu_coldstart.reporting.verdict import verdict


def row(strategy: str, ndcg: float, k: int = 50, space: str = "tt-svd") -> Row:
    other, own = (Summary(x, 0.0, x, x) for x in (0.5, ndcg))
    return Row(space, strategy, k, 90, other, other, own)


def table(name: str, *lines: dict[str, Any]) -> Table:
    head = {"space": "tt-svd", "k": 50, "measure": "ndcg"}
    rows = [dict.fromkeys(SCHEMAS[name]) | head | line for line in lines]
    return {column: [each[column] for each in rows] for column in SCHEMAS[name]}


def pair(a: str, b: str, low: float, high: float, p: float) -> dict[str, Any]:
    return {"strategy_a": a, "strategy_b": b, "low": low, "high": high, "p_holm": p}


def stratum(strategy: str, group: str, order: int, users: int, mean: float) -> dict[str, Any]:
    return {"strategy": strategy, "by": "interactions", "group": group, "order": order,
            "users": users, "mean": mean}  # fmt: skip


ROWS = [row("popularity", 0.2), row("semi", 0.25), row("best", 0.3), row("best", 0.9, k=10),
        row("semi", 0.28, space="ut-als")]  # fmt: skip
MEANS = {"popularity": (0.1, 0.2, 0.1, 0.1), "best": (0.15, 0.2, 0.4, 1.0)}
TABLES = {
    "comparisons": table(
        "comparisons",
        pair("popularity", "best", -0.12, -0.08, 0.001),
        pair("best", "semi", 0.025, 0.075, 0.06),
        pair("popularity", "semi", 0.08, 0.12, 0.001),
    ),
    "strata": table(
        "strata",
        *(
            stratum(strategy, group, order, users, mean)
            for strategy, means in MEANS.items()
            for order, (group, users, mean) in enumerate(
                zip(("none at all", "1-2", "3-5", ">20"), (20, 30, 40, 19), means, strict=True)
            )
        ),
    ),
    "exposure": table(
        "exposure",
        {"strategy": "best", "country": "FR", "coverage": 0.9, "share_top_100": 0.9},
        {"strategy": "best", "country": "all", "coverage": 0.63, "share_top_100": 0.14},
    ),
}  # fmt: skip


def test_who_is_ahead_for_whom_and_of_what() -> None:
    assert verdict(ROWS, TABLES) == [
        "Best (TT-SVD) is ahead, with an NDCG@50 of 30.00 %: 50 % [40, 60] more than Popularity, "
        "and 20 % [10, 30], which may be chance, more than Semi-Pers.",
        "Over Popularity, the 20 test users with no event on their first day gain 50 %, the 40 "
        "with 3-5 events 300 %.",
        "Its lists show 63 % of all tracks; 14 % of their places go to the 100 most popular.",
    ]


def test_without_an_evaluation() -> None:
    assert verdict(ROWS, {}) == [
        "Best (TT-SVD) is ahead, with an NDCG@50 of 30.00 %: 50 % more than Popularity, and 20 % "
        "more than Semi-Pers."
    ]


def test_where_the_chart_is_ahead_or_finds_nothing() -> None:
    ahead = [row("popularity", 0.3), row("semi", 0.2)]
    assert verdict(ahead, TABLES)[:1] == [
        "Popularity (TT-SVD) is ahead, with an NDCG@50 of 30.00 %: 50 % [40, 60] more than "
        "Semi-Pers."
    ]
    nothing = [row("popularity", 0.0), row("full", 0.1)]
    assert verdict(nothing, {}) == ["Full-Pers. (TT-SVD) is ahead, with an NDCG@50 of 10.00 %."]
