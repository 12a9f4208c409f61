"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gpu_coldstart.evaluation.protocol import MEASURES, Row

__all__ = [
    "LABELS",
    "SPACE_LABELS",
    "aligned",
    "below_popularity",
    "results_json",
    "results_markdown",
    "table",
]

LABELS = {
    "popularity": "Popularity",
    "registration-day": "Registration Day Streams",
    "input-features": "Input Features Clustering",
    "full": "Full-Pers.",
    "semi": "Semi-Pers.",
    "soft": "Soft Allocation",
}
"""Names of the strategies as the paper prints them."""

SPACE_LABELS = {"tt-svd": "TT-SVD", "ut-als": "UT-ALS"}
"""Names of the spaces likewise."""


def below_popularity(rows: Sequence[Row]) -> list[str]:
    """Say of each personalised strategy that falls below the chart that it does, at any length."""
    chart = {(row.space, row.k): row for row in rows if row.strategy == "popularity"}
    worse: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        base = chart.get((row.space, row.k))
        if base is None:  # the chart was not asked for
            continue
        worse.setdefault((row.strategy, row.space), []).extend(
            f"{name} {_percent(mine.mean)} against {_percent(its.mean)}"
            for name, mine, its in (
                (f"P@{row.k}", row.precision, base.precision),
                (f"NDCG@{row.k}", row.ndcg, base.ndcg),
            )
            if mine.mean < its.mean
        )
    return [
        f"{LABELS[strategy]} ({SPACE_LABELS[space]}) is below Popularity here: {', '.join(where)}"
        for (strategy, space), where in worse.items()
        if where
    ]


def table(rows: Sequence[Row], k: int) -> str:
    """The paper's Table 1 at one length of list, as Markdown in aligned columns.

    Values are per cent, mean ± standard deviation over the parts; P, R and N are precision,
    recall and NDCG.
    """
    spaces = list(dict.fromkeys(row.space for row in rows))
    strategies = list(dict.fromkeys(row.strategy for row in rows))
    by_place = {(row.space, row.strategy): row for row in rows if row.k == k}
    lines = [["Strategy"]]
    for space in spaces:
        lines[0] += [f"{SPACE_LABELS[space]} {measure[0].upper()}@{k}" for measure in MEASURES]
    for strategy in strategies:
        line = [LABELS[strategy]]
        for space in spaces:
            line += [_cell(by_place[space, strategy], measure) for measure in MEASURES]
        lines.append(line)
    return aligned(lines)


def _cell(row: Row, measure: str) -> str:
    summary = getattr(row, measure)
    return f"{_percent(summary.mean)} ± {_percent(summary.std)}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text; numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [
        [line[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        for line in lines
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (padded[0], rule, *padded[1:]))


def results_markdown(
    rows: Sequence[Row], ks: Sequence[int], title: str, facts: Sequence[str], notes: Sequence[str]
) -> str:
    """The whole report: tables, what the run was, and what the reader should know."""
    parts = [f"# {title}", ""]
    for k in ks:
        parts += [
            f"Precision (P), recall (R) and NDCG (N) of the top {k}, in per cent, ± standard "
            "deviation over parts of the test users:",
            "",
        ]
        parts += [table(rows, k), ""]
    parts += ["## The run", "", *(f"- {fact}" for fact in facts), ""]
    if notes:
        parts += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(parts)


def results_json(rows: Sequence[Row], **rest: Any) -> str:
    """``results.json``: the rows and whatever else describes the run."""
    return json.dumps({"rows": [row.flat() for row in rows], **rest}, indent=1) + "\n"
