"""The page about one run: what was run, on what, what came of it, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.evaluation.measures import TEXTBOOK
from gpu_coldstart.evaluation.protocol import MEASURES, Row
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting import table_grids
from gpu_coldstart.reporting.blocks import (
    Block,
    Drawn,
    Fold,
    Grid,
    Section,
    Text,
    interval,
    number,
    percent,
    setting_text,
)
from gpu_coldstart.reporting.glossary import glossary, terms
from gpu_coldstart.reporting.labels import (
    MEASURE_LABELS,
    SIZE_LABELS,
    space_name,
    strategy_name,
)
from gpu_coldstart.reporting.page import page
from gpu_coldstart.reporting.rows import Line, distinct, lines_of, where
from gpu_coldstart.reporting.settings import chosen
from gpu_coldstart.reporting.verdict import verdict
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.progress import StageTime

__all__ = ["RunSummary", "run_page", "statistics"]


@dataclass(frozen=True)
class RunSummary:
    """What a run says of itself.

    Attributes
    ----------
    title : str
    date : str
        When it was reported.
    config : mapping of dotted key to value
    engine, device : str
        ``device`` is empty on the CPU.
    versions : mapping of library to version
    commit : str
        Of the code that reported it; empty outside a checkout.
    digest : str
        Tells the content of the input files from any other; empty where the data set has none.
    statistics : sequence of (what, how many)
        Of the data.
    split_rule : str
    rows : sequence of Row
    tables : mapping of name to table
        Of the evaluation; empty when it was left out.
    losses : mapping of space to sequence of float
    stages : sequence of StageTime
    warnings, notes : sequence of str
        What to mind, and what else to know.
    files : sequence of str
        Files linked from the page.
    budgets : sequence of (part, how its settings came about)
    """

    title: str
    date: str
    config: Mapping[str, Any]
    engine: str
    device: str
    versions: Mapping[str, str]
    digest: str
    statistics: Sequence[tuple[str, str]]
    split_rule: str
    rows: Sequence[Row]
    tables: Mapping[str, Table]
    losses: Mapping[str, Sequence[float]]
    stages: Sequence[StageTime]
    warnings: Sequence[str]
    files: Sequence[str]
    budgets: Sequence[tuple[str, str]] = ()
    commit: str = ""
    notes: Sequence[str] = ()


def statistics(logs: Logs, truth: GroundTruth) -> list[tuple[str, str]]:
    """The size of the data."""
    border = int(truth.tracks.indptr[truth.n_validation])
    counts = {
        "warm users": logs.n_warm,
        "validation users": logs.n_validation,
        "test users": logs.n_test,
        "target users (recommended to, not measured)": logs.n_target,
        "countries": len(logs.countries),
        "tracks": logs.n_tracks,
        "artists": len(logs.artist_ids),
        "albums": len(logs.album_ids),
        "genres": len(logs.genres),
        "playlists": len(logs.playlist_ids),
        "tracks streamed by warm users (each once per user)": logs.history.nnz,
        "favourites of warm users": logs.favorites.nnz,
        "signals of registration days, all users": logs.registration.nnz,
        "tracks to be found for validation users": border,
        "tracks to be found for test users": truth.tracks.nnz - border,
    }
    return [
        (name, f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"))
        for name, count in counts.items()
    ]


def run_page(run: RunSummary, drawn: Mapping[str, Sequence[Drawn]]) -> bytes:
    """``report.html``.

    Parameters
    ----------
    run : RunSummary
    drawn : mapping of table to its figures
        Empty when figures were left out.
    """
    named = run.config["strategies.names"], run.config["spaces"]
    sections = [
        _identity(run),
        _data(run, drawn),
        Section("results", "Results", [*_pictures(drawn, "results"), *_results(run)]),
        *_evaluation(run, drawn),
        _times(run),
        _configuration(run),
        glossary(*named),
    ]
    lead = "User cold start recommendation: what was run, on what data, and how good it was."
    return page(
        run.title,
        lead,
        sections,
        verdict=verdict(run.rows, run.tables),
        warnings=run.warnings,
        notes=run.notes,
        beside=run.files,
        terms=terms(*named),
    )


def _pictures(drawn: Mapping[str, Sequence[Drawn]], table: str) -> list[Block]:
    return [each.picture for each in drawn.get(table, ())]


# -- the run -----------------------------------------------------------------------------------


def _identity(run: RunSummary) -> Section:
    config = run.config
    spaces = [space_name(space) for space in config["spaces"]]
    strategies = [strategy_name(name) for name in config["strategies.names"]]
    lines = [
        ("date", run.date),
        ("data set", config["dataset"]),
        *([("directory", config["data"])] if config["data"] else []),
        *([("fingerprint of the data", run.digest)] if run.digest else []),
        ("preset", config["preset"]),
        ("protocol", config["evaluation.protocol"]),
        ("seed", str(config["seed"])),
        ("engine", run.engine),
        *([("device", run.device)] if run.device else []),
        ("embedding spaces", ", ".join(spaces)),
        ("strategies", ", ".join(strategies)),
        ("versions", ", ".join(f"{name} {which}" for name, which in run.versions.items())),
        *([("commit of the code", run.commit)] if run.commit else []),
    ]
    blocks: list[Block] = [Grid("run-table", "The run", ("what", "value"), lines, frozenset({1}))]
    told = ("seed", "spaces", "strategies.names")
    changed = [line for line in chosen(config) if line[0] not in told]
    if changed:
        heads, words = ("setting", "value", "instead of"), frozenset({1, 2})
        blocks.append(Grid("chosen", "Settings other than the preset's", heads, changed, words))
    return Section("run", "What was run", blocks)


def _data(run: RunSummary, drawn: Mapping[str, Sequence[Drawn]]) -> Section:
    grid = Grid("data-table", "Size of the data", ("what", "count"), run.statistics)
    blocks: list[Block] = [grid, Text(f"Who is cold: {run.split_rule}.")]
    blocks += _pictures(drawn, "sizes")
    lines = lines_of(run.tables.get("sizes", {}))
    if lines:
        rows = [
            [
                f"{SIZE_LABELS[line['what']]}: {line['least']} to {line['most']}",
                line["cohort"],
                str(line["users"]),
            ]
            for line in lines
        ]
        sizes = Grid("sizes-table", "Users by size", ("number", "cohort", "users"), rows,
                     frozenset({1}), paths.csv("sizes"))  # fmt: skip
        blocks.append(Fold("The numbers", [sizes]))
    return Section("data", "Data", blocks)


def _results(run: RunSummary) -> Iterator[Grid]:
    """For each length of list the paper's Table 1 with intervals, then the textbook's measures."""
    further = lines_of(run.tables.get("results", {}))
    for k in dict.fromkeys(row.k for row in run.rows):
        chosen = [row for row in run.rows if row.k == k]
        columns = ["strategy", "space"]
        for measure in MEASURES:
            columns += [f"{MEASURE_LABELS[measure]}@{k}", "95 % interval"]
        cells = []
        for row in chosen:
            line = [strategy_name(row.strategy), space_name(row.space)]
            for measure in MEASURES:
                summary = getattr(row, measure)
                line.append(f"{percent(summary.mean)} ± {percent(summary.std)}")
                line.append(interval(summary.low, summary.high))
            cells.append(line)
        yield Grid(
            f"results-{k}",
            f"Top {k}, in per cent: mean ± standard deviation over parts of the {chosen[0].users} "
            "test users, and bootstrap interval of the mean; precision is of "
            f"min({k}, truth): hits over the most there can be",
            columns,
            cells,
            frozenset({1}),
        )
        here = where(further, k=k)
        if len(distinct(here, "measure")) > len(MEASURES):
            yield _textbook(here, k)


def _textbook(lines: Sequence[Line], k: int) -> Grid:
    """The textbook's measures of all lists of one length."""
    cells = {(line["space"], line["strategy"], line["measure"]): line for line in lines}
    places = dict.fromkeys((line["space"], line["strategy"]) for line in lines)
    return Grid(
        f"textbook-{k}",
        f"Top {k}, in per cent, by the textbook's measures; mean ± standard deviation as above",
        ["strategy", "space", *(f"{MEASURE_LABELS[measure]}@{k}" for measure in TEXTBOOK)],
        [
            [
                strategy_name(strategy),
                space_name(space),
                *(
                    f"{percent(line['mean'])} ± {percent(line['std'])}"
                    for line in (cells[space, strategy, measure] for measure in TEXTBOOK)
                ),
            ]
            for space, strategy in places
        ],
        frozenset({1}),
        paths.csv("results"),
    )


def _evaluation(run: RunSummary, drawn: Mapping[str, Sequence[Drawn]]) -> Iterator[Section]:
    """The evaluation's tables that have something to say, or why there are none."""
    if not run.tables:
        why = "Left out, because evaluation.analysis = false."
        yield Section("evaluation", "Further evaluation", [Text(why)])
        return
    for name, (title, make) in table_grids.SECTIONS.items():
        table = run.tables.get(name)
        blocks: list[Block] = [] if table is None else list(make(table))
        if blocks:
            yield Section(name, title, [*_pictures(drawn, name), *blocks])


def _times(run: RunSummary) -> Section:
    """What each stage took, one after another; memory of the device only where there is one."""
    columns = {"stage": [stage.name for stage in run.stages]}
    ends = [*accumulate((stage.seconds for stage in run.stages), initial=0.0)]
    columns["seconds"] = [number(stage.seconds, 2) for stage in run.stages]
    bars = [[(a / (ends[-1] or 1), b / (ends[-1] or 1)) for a, b in pairwise(ends)]]
    for head, peaks in (
        ("peak, MB", [stage.peak_rss_mb for stage in run.stages]),
        ("peak on the device, MB", [stage.peak_gpu_mb for stage in run.stages]),
    ):
        most = max(peaks, default=0)
        if most:
            columns[head] = [number(peak, 0) for peak in peaks]
            bars.append([(0, peak / most) for peak in peaks])
    grid = Grid(
        "times-table",
        f"{number(ends[-1], 1)} seconds in all; the peak is the most memory held during a stage",
        [*columns],
        [*zip(*columns.values(), strict=True)],
        bars=dict(enumerate(bars, start=1)),
    )
    blocks: list[Block] = [grid]
    for space, losses in run.losses.items():
        curve = ", ".join(f"{loss:.5g}" for loss in losses)
        blocks.append(Text(f"{space_name(space)}, loss after each iteration: {curve}."))
    return Section("times", "Stages", blocks)


def _configuration(run: RunSummary) -> Section:
    rows = [(key, setting_text(value)) for key, value in run.config.items()]
    grid = Grid("settings", "Every setting by its key", ("setting", "value"), rows, frozenset({1}))
    text = "The same as a file: config.toml, which --config takes."
    tuned = Grid(
        "budgets",
        "How the settings came about",
        ("part", "settings"),
        run.budgets,
        frozenset({1}),
    )
    blocks: list[Block] = [tuned, Text(text), Fold("All settings", [grid])]
    return Section("configuration", "Configuration", blocks)
