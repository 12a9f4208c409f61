"""A comparison of runs as sections: for the terminal, for a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import (
    NOT_KNOWN,
    Block,
    Grid,
    Picture,
    Section,
    Text,
    interval,
    number,
    p_value,
    percent,
    setting_text,
    without_gaps,
)
from gpu_coldstart.reporting.comparison import Pairing, common_ks
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.results import aligned, markdown_cell, measure_head
from gpu_coldstart.reporting.rows import distinct, lines_of
from gpu_coldstart.reporting.runs import FinishedRun

__all__ = ["comparison_sections", "differing_settings", "markdown"]

_DIGITS = 12
"""Of the SHA-256 of an input file."""

_IDENTITY = ("dataset", "preset", "evaluation.protocol", "seed")


def comparison_sections(
    runs: Sequence[FinishedRun],
    names: Sequence[str],
    pairings: Sequence[Pairing],
    table: Table,
    pictures: Sequence[Picture] = (),
) -> list[Section]:
    """What the runs were, how their results differ, and how long their stages took.

    Parameters
    ----------
    pictures : sequence of Picture
        Of the differences.
    """
    lines = lines_of(table)
    results = [
        Section(
            f"k-{k}-{space}",
            f"{space_name(space)}, top {k}",
            [
                _measured([line for line in chosen if line["measure"] == measure], names)
                for measure in MEASURES
            ],
        )
        for k in distinct(lines, "k")
        for space in distinct(lines, "space")
        if (chosen := [line for line in lines if line["k"] == k and line["space"] == space])
    ]
    return [
        *([Section("differences", "Differences", pictures)] if pictures else []),
        Section("runs", "The runs", list(_overview(runs, names, pairings))),
        *results,
        Section("times", "Stages", [_times(runs, names)]),
    ]


def differing_settings(runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """Values by key of the settings that are not the same in all runs."""
    keys = dict.fromkeys([*flat(Config()), *(key for run in runs for key in run.config)])
    return _differing({key: [setting_text(run.config.get(key)) for run in runs] for key in keys})


def _differing(values: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Those of which the runs have different ones."""
    return {key: of_runs for key, of_runs in values.items() if len(set(of_runs)) > 1}


def _of_all(
    mappings: Sequence[Mapping[str, str]], length: int | None = None
) -> dict[str, list[str]]:
    """Values by name in each run's mapping."""
    names = dict.fromkeys(name for known in mappings for name in known)
    return {name: [known.get(name, NOT_KNOWN)[:length] for known in mappings] for name in names}


def _overview(
    runs: Sequence[FinishedRun], names: Sequence[str], pairings: Sequence[Pairing]
) -> Iterator[Block]:
    yield Text(
        f"Differences from the first run, {names[0]}; values in per cent, P of min(K, truth)."
    )
    for name, run, pair in zip(names[1:], runs[1:], pairings, strict=True):
        yield Text(f"{name}: {_how(runs[0], run, pair)}")
    left = set.union(*(run.ks for run in runs)).difference(common_ks(runs))
    if left:
        lengths = ", ".join(map(str, sorted(left)))
        yield Text(f"Left out, because not all runs measured it: k = {lengths}.")
    grid = Grid(
        "runs-table",
        "The runs",
        ["run", "data set", "preset", "protocol", "seed", "engine", "device", "test users"],
        [
            [
                name,
                *(setting_text(run.config.get(key)) for key in _IDENTITY),
                run.engine,
                run.device or NOT_KNOWN,
                str(len(run.user_ids)),
            ]
            for name, run in zip(names, runs, strict=True)
        ],
        frozenset({1, 2, 3, 5, 6}),
    )
    yield without_gaps(grid)
    kinds = {
        "settings": differing_settings(runs),
        "input files": _differing(_of_all([run.files for run in runs], _DIGITS)),
        "versions": _differing(_of_all([run.versions for run in runs])),
    }
    for kind, values in kinds.items():
        if values:
            rows = [[key, *of_runs] for key, of_runs in values.items()]
            yield Grid(
                kind.replace(" ", "-"),
                f"{kind.capitalize()} that differ",
                [kind, *names],
                rows,
                frozenset(range(1, len(names) + 1)),
            )
    same = [kind for kind, values in kinds.items() if not values]
    if same:
        yield Text(f"The same in all runs: {', '.join(same)}.")


def _how(first: FinishedRun, run: FinishedRun, pair: Pairing) -> str:
    """How a run is compared with the first."""
    if not pair.paired:
        return (
            "unpaired, because its users or their truth differ from the first run's; "
            "p of the Mann-Whitney test."
        )
    return (
        f"paired over the {len(pair.first)} users that both have (of {len(first.user_ids)} and "
        f"{len(run.user_ids)}); p of Wilcoxon's signed-rank test."
    )


def _measured(lines: Sequence[dict[str, Any]], names: Sequence[str]) -> Grid:
    """Strategies by runs, in one measure."""
    first = lines[0]
    label = measure_head(first["measure"], first["k"])
    columns = ["strategy", names[0]]
    for name in names[1:]:
        columns += [name, "difference", "95 % interval", "p Holm"]
    rows = []
    for strategy in distinct(lines, "strategy"):
        by_run = {line["run"]: line for line in lines if line["strategy"] == strategy}
        row = [strategy_name(strategy), percent(by_run.get(names[0], {}).get("mean"))]
        for name in names[1:]:
            line = by_run.get(name, {})
            row += [
                percent(line.get("mean")),
                percent(line.get("difference"), sign=True),
                interval(line.get("low"), line.get("high")),
                p_value(line.get("p_holm")),
            ]
        rows.append(row)
    return Grid(f"{first['measure']}-{first['k']}-{first['space']}", label, columns, rows)


def _times(runs: Sequence[FinishedRun], names: Sequence[str]) -> Grid:
    stages = list(dict.fromkeys(stage for run in runs for stage in run.seconds))
    rows = [[stage, *(number(run.seconds.get(stage), 2) for run in runs)] for stage in stages]
    rows.append(["all", *(number(sum(run.seconds.values()), 2) for run in runs)])
    return Grid("times-table", "Seconds of each stage", ["stage", *names], rows)


def markdown(title: str, sections: Sequence[Section], verdict: Sequence[str] = ()) -> str:
    """Sections of paragraphs, tables and pictures as Markdown that is also read easily as it is.

    Parameters
    ----------
    verdict : sequence of str
        What comes before everything else.
    """
    parts = [f"# {title}", *(f"- {sentence}" for sentence in verdict)]
    for section in sections:
        parts.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Grid):
                parts += [
                    f"{block.caption}:",
                    aligned([[*map(markdown_cell, row)] for row in (block.columns, *block.rows)]),
                ]
            elif isinstance(block, Text):
                parts.append(block.text)
            elif isinstance(block, Picture):
                title = block.caption.partition(". ")[0]
                parts += [f"![{title}]({block.files[0]})", block.caption]
    return "\n\n".join(parts) + "\n"
