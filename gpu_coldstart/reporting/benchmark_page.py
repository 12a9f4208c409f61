"""A benchmark as sections: for a browser, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.reporting.benchmark import LEVEL, Entry
from gpu_coldstart.reporting.blocks import (
    Block,
    Drawn,
    Grid,
    Section,
    Text,
    interval,
    number,
    p_value,
    percent,
    setting_text,
)
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.results import measure_head
from gpu_coldstart.reporting.rows import Line, distinct, where
from gpu_coldstart.reporting.settings import chosen

__all__ = ["benchmark_sections"]

_TOLD = ("data", "evaluation.analysis", "evaluation.figures", "evaluation.k", "seed", "spaces",
         "strategies.names")  # fmt: skip
"""Settings that the page tells anyway, or that have no effect on it."""

_SHOWN = "ndcg"


def benchmark_sections(
    entries: Sequence[Entry], quality: Sequence[Line], drawn: Sequence[Drawn]
) -> list[Section]:
    """What was compared, all of it in one table, and each data set.

    Parameters
    ----------
    quality : sequence of rows
        Of :func:`gpu_coldstart.reporting.benchmark.benchmark`.
    drawn : sequence of Drawn
        A figure for each data set.
    """
    tops = [_top(quality, k) for k in distinct(quality, "k")]
    details = [
        Section(
            f"data-{i}",
            entry.data,
            [figure.picture, *_details(i, where(quality, data=entry.data))],
        )
        for i, (entry, figure) in enumerate(zip(entries, drawn, strict=True))
    ]
    return [Section("overview", "What was compared", list(_overview(entries, quality))),
            Section("quality", "All strategies", tops), *details]  # fmt: skip


def _overview(entries: Sequence[Entry], quality: Sequence[Line]) -> Iterator[Block]:
    strategies, seeds = distinct(quality, "strategy"), max(len(each.runs) for each in entries)
    yield Text(
        f"{len(strategies)} strategies, {seeds} seed{'s' * (seeds > 1)}. Values are per cent: "
        "means over all test users, with 95 % bootstrap intervals over users, and ± the standard "
        "deviation of the seeds' means. An asterisk marks the best of a column, and every "
        "strategy that Wilcoxon's signed-rank test, Holm-adjusted, does not find different from it "
        f"at {100 * LEVEL:g} %."
    )
    yield Grid(
        "data-sets",
        "The data sets",
        ["data", "seeds", "test users", "the same for every seed", "engine", "device", "minutes"],
        [
            [
                entry.data,
                setting_text([run.config.get("seed") for run in entry.runs]),
                str(where(quality, data=entry.data)[0]["users"]),
                "yes" if entry.same_users else "no",
                entry.runs[0].engine,
                setting_text(entry.runs[0].device or None),
                number(sum(sum(run.seconds.values()) for run in entry.runs) / 60, 1),
            ]
            for entry in entries
        ],
        frozenset({1, 3, 4, 5}),
    )
    changed = [
        [entry.data, *line]
        for entry in entries
        for line in chosen(entry.runs[0].config)
        if line[0] not in _TOLD
    ]
    if changed:
        heads, words = ["data", "setting", "value", "instead of"], frozenset({1, 2, 3})
        yield Grid("settings", "Settings other than the preset's", heads, changed, words)


def _top(quality: Sequence[Line], k: int) -> Grid:
    """Strategies, the best mean rank first, by data sets and spaces."""
    lines = where(quality, k=k, measure=_SHOWN)
    columns = list(dict.fromkeys((line["data"], line["space"]) for line in lines))
    ranks = {
        strategy: fmean(line["rank"] for line in where(lines, strategy=strategy))
        for strategy in distinct(lines, "strategy")
    }
    rows = []
    for strategy in sorted(ranks, key=lambda each: ranks[each]):
        by_column = {(x["data"], x["space"]): x for x in where(lines, strategy=strategy)}
        cells = [_cell(by_column[column]) for column in columns]
        rows.append([strategy_name(strategy), number(ranks[strategy], 2), *cells])
    heads = [f"{data}, {space_name(space)}" for data, space in columns]
    caption = f"{measure_head(_SHOWN, k)}, and the mean rank over all users and columns"
    return Grid(f"quality-{k}", caption, ["strategy", "rank", *heads], rows)


def _cell(line: Line) -> str:
    """Mean and deviation, and whether it is among the best."""
    sure = line["p_best"] is not None and line["p_best"] < LEVEL
    spread = "" if line["deviation"] is None else f" ± {percent(line['deviation'])}"
    return f"{percent(line['mean'])}{spread}{'' if sure else ' *'}"


def _details(place: int, lines: Sequence[Line]) -> Iterator[Block]:
    """Every measure in each space at each length of list."""
    for space in distinct(lines, "space"):
        for k in distinct(lines, "k"):
            here = where(lines, space=space, k=k)
            shown = sorted(where(here, measure=_SHOWN), key=lambda line: -line["mean"])
            heads = [text for each in MEASURES for text in (measure_head(each, k), "95 % interval")]
            rows = []
            for line in shown:
                row = [strategy_name(line["strategy"])]
                for measure in MEASURES:
                    (own,) = where(here, strategy=line["strategy"], measure=measure)
                    row += [percent(own["mean"]), interval(own["low"], own["high"])]
                rows.append([*row, number(line["rank"], 2), p_value(line["p_best"])])
            yield Grid(
                f"data-{place}-{space}-{k}",
                f"{space_name(space)}, top {k}; rank and p of {_SHOWN.upper()}",
                ["strategy", *heads, "mean rank", "p against the best"],
                rows,
            )
