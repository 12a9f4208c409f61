"""The results table as Markdown for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_coldstart.evaluation.protocol import MEASURES, Row
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.runs.names import visible

__all__ = [
    "aligned",
    "below_popularity",
    "markdown_cell",
    "measure_head",
    "measures_markdown",
    "not_measured",
    "results_json",
    "results_markdown",
    "table",
]


def below_popularity(rows: Sequence[Row]) -> list[str]:
    """A sentence for each strategy and space that does worse than the chart at some length."""
    chart = {(row.space, row.k): row for row in rows if row.strategy == "popularity"}
    worse: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        base = chart.get((row.space, row.k))
        if base is None:  # the chart was not among the strategies
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
        f"{strategy_name(strategy)} ({space_name(space)}) is below Popularity here: "
        + ", ".join(where)
        for (strategy, space), where in worse.items()
        if where
    ]


def not_measured(n_target: int) -> list[str]:
    """A sentence on the users of cohort ``target``."""
    if not n_target:
        return []
    if n_target == 1:
        return ["1 target user gets recommendations and is not measured"]
    return [f"{n_target} target users get recommendations and are not measured"]


def table(rows: Sequence[Row], k: int) -> str:
    """The paper's Table 1 at one length of list, as Markdown in aligned columns.

    Values are per cent, mean ± standard deviation over the parts; P, R and N are precision (of
    ``min(K, truth)``), recall and NDCG.
    """
    spaces = list(dict.fromkeys(row.space for row in rows))
    strategies = list(dict.fromkeys(row.strategy for row in rows))
    by_place = {(row.space, row.strategy): row for row in rows if row.k == k}
    lines = [["Strategy"]]
    for space in spaces:
        lines[0] += [f"{space_name(space)} {measure[0].upper()}@{k}" for measure in MEASURES]
    for strategy in strategies:
        line = [strategy_name(strategy)]
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
    rows: Sequence[Row], ks: Sequence[int], title: str, data: Sequence[str], notes: Sequence[str]
) -> str:
    """``results.md``: the tables, the size of the data, and the notes."""
    parts = [f"# {title}", ""]
    for k in ks:
        parts += [
            f"Precision (P, of min({k}, truth)), recall (R) and NDCG (N) of the top {k}, in per "
            "cent, ± standard deviation over parts of the test users:",
            "",
        ]
        parts += [table(rows, k), ""]
    parts += ["## The run", "", *(f"- {line}" for line in data), ""]
    if notes:
        parts += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(parts)


def results_json(rows: Sequence[Row], **rest: Any) -> str:
    """``results.json``: the rows and whatever else describes the run."""
    return json.dumps({"rows": [row.flat() for row in rows], **rest}, indent=1) + "\n"


def measures_markdown(summary: Sequence[Mapping[str, Any]]) -> str:
    """Every measure of every strategy, a Markdown table for each length of list.

    Parameters
    ----------
    summary : sequence of rows
        With ``strategy``, ``k``, ``measure``, ``mean`` and ``std``.
    """
    parts = []
    for k in dict.fromkeys(row["k"] for row in summary):
        here = [row for row in summary if row["k"] == k]
        cells: dict[str, dict[str, str]] = {}
        for row in here:
            mean_std = f"{_percent(row['mean'])} ± {_percent(row['std'])}"
            cells.setdefault(row["strategy"], {})[row["measure"]] = mean_std
        measures = list(dict.fromkeys(row["measure"] for row in here))
        heads = [measure_head(measure, k) for measure in measures]
        lines = [
            [markdown_cell(strategy_name(strategy)), *(by_measure[m] for m in measures)]
            for strategy, by_measure in cells.items()
        ]
        parts.append(aligned([["Strategy", *heads], *lines]))
    return "\n\n".join(parts) + "\n"


def measure_head(measure: str, k: int) -> str:
    """A measure at one length of list, as the head of a column."""
    return {
        "precision": f"P@{k} (of min({k}, truth))",
        "recall": f"R@{k}",
        "ndcg": f"NDCG@{k}",
        "textbook_precision": f"textbook P@{k}",
        "map": f"MAP@{k}",
        "mrr": f"MRR@{k}",
        "hit_rate": f"hit rate@{k}",
    }[measure]


def markdown_cell(text: str) -> str:
    """Text that does not break a Markdown table."""
    return " ".join(visible(text).split()).replace("|", "\\|")
