"""The evaluation's tables for readers: what they say at a glance, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gpu_coldstart.evaluation.groups import EVERYWHERE
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blend_grids import blends, discovery, experts, weights
from gpu_coldstart.reporting.blocks import (
    Block,
    Fold,
    Grid,
    Text,
    interval,
    listed,
    number,
    p_value,
    percent,
    without_gaps,
)
from gpu_coldstart.reporting.examples import examples
from gpu_coldstart.reporting.labels import (
    MEASURE_LABELS,
    RATE_LABELS,
    SHOWN,
    STRATA_LABELS,
    arm_name,
    space_name,
    strategy_name,
)
from gpu_coldstart.reporting.new_releases import new_releases
from gpu_coldstart.reporting.rows import Line, distinct, large, lines_of, telling, where
from gpu_coldstart.reporting.segment_quality import segment_quality
from gpu_coldstart.runs import paths

__all__ = ["LEVEL", "SECTIONS", "SEGMENTS"]

LEVEL = 0.05
"""Below this adjusted p a difference is called significant."""

SEGMENTS = 12
"""Segments shown of each space, the largest first."""

_INTERVAL = "95 % interval"
_TESTS = ("p bootstrap", "p Wilcoxon", "p Holm")
_TOPS = ("top 100", "top 1000", "top 5000")
_RATES = ("rate", _INTERVAL, "relative", _INTERVAL)


def _with_interval(line: Line) -> str:
    return f"{percent(line['mean'])} {interval(line['low'], line['high'])}"


# -- who is better than whom -------------------------------------------------------------------


def _comparisons(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        yield Text("There is one strategy, so there is nothing to compare.")
        return
    yield Text(
        "Wilcoxon's signed-rank test over the test users, user by user; p adjusted by Holm for all "
        f"pairs and measures of a space and length of list; significant below {LEVEL:g}. "
        "Precision is of min(K, truth)."
    )
    for k in distinct(lines, "k"):
        for space in distinct(lines, "space"):
            here = where(lines, k=k, space=space)
            names = list(dict.fromkeys(distinct(here, "strategy_a") + distinct(here, "strategy_b")))
            yield Grid(
                f"better-{space}-{k}",
                f"{space_name(space)}, top {k}: significantly better than …",
                ["strategy", *(f"in {MEASURE_LABELS[m]}" for m in MEASURES)],
                [
                    [
                        strategy_name(a),
                        *(listed(_beaten(where(here, measure=m), a)) for m in MEASURES),
                    ]
                    for a in names
                ],
                frozenset({1, 2, 3}),
                paths.csv("comparisons"),
            )
            yield Fold(
                f"Every pair in {space_name(space)}, top {k}",
                [_pairs(f"pairs-{space}-{k}", here, f"{space_name(space)}, top {k}")],
            )


def _beaten(lines: Sequence[Line], name: str) -> list[str]:
    """Names of the strategies that one is significantly better than."""
    beaten = []
    for line in lines:
        if line["p_holm"] is None or line["p_holm"] >= LEVEL:
            continue
        if line["strategy_a"] == name and line["difference"] > 0:
            beaten.append(strategy_name(line["strategy_b"]))
        if line["strategy_b"] == name and line["difference"] < 0:
            beaten.append(strategy_name(line["strategy_a"]))
    return beaten


def _pairs(name: str, lines: Sequence[Line], place: str) -> Grid:
    return Grid(
        name,
        f"{place}: first less second, in percentage points",
        ["first", "second", "measure", "difference", _INTERVAL, *_TESTS],
        [
            [
                strategy_name(line["strategy_a"]),
                strategy_name(line["strategy_b"]),
                MEASURE_LABELS[line["measure"]],
                percent(line["difference"], sign=True),
                interval(line["low"], line["high"]),
                *(p_value(line[p]) for p in ("p_bootstrap", "p_wilcoxon", "p_holm")),
            ]
            for line in lines
        ],
        frozenset({1, 2}),
    )


# -- Figures 4, 5 and 7 ------------------------------------------------------------------------


def _strata(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        return
    k = max(distinct(lines, "k"))
    chosen = where(lines, k=k, measure=SHOWN)
    for space in distinct(chosen, "space"):
        here = where(chosen, space=space)
        strategies = distinct(here, "strategy")
        rows = []
        for by in telling(here):
            mine = where(here, by=by)
            for order, group in sorted({(line["order"], line["group"]) for line in mine}):
                cells = where(mine, order=order)
                means = {line["strategy"]: _with_interval(line) for line in cells}
                head = [f"{STRATA_LABELS.get(by, by)}: {group}", str(cells[0]["users"])]
                rows.append(head + [means.get(name, "") for name in strategies])
        if not rows:
            continue
        grid = Grid(
            f"strata-table-{space}",
            f"{space_name(space)}: precision@{k} (of min({k}, truth)) in per cent, "
            "with 95 % bootstrap intervals",
            ["users by", "users", *map(strategy_name, strategies)],
            rows,
            file=paths.csv("strata"),
        )
        yield Fold(f"The numbers for {space_name(space)}", [grid])


_RANKS = ("p5", "p25", "p50", "p75", "p95", "mean")
_SHARES = ("share_top_100", "share_top_1000", "share_top_5000")


def _exposure(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        return
    k = max(distinct(lines, "k"))
    yield Grid(
        "exposure-table",
        f"The {k} tracks recommended to each test user: median popularity rank, share among the "
        "most popular tracks and share of the catalogue ever recommended (per cent), inequality "
        "between tracks (Gini), and novelty in bits",
        ["strategy", "space", "median rank", *_TOPS, "coverage", "Gini", "novelty"],
        [
            [
                strategy_name(line["strategy"]),
                space_name(line["space"]),
                number(line["p50"], 1),
                *(percent(line[share]) for share in (*_SHARES, "coverage")),
                number(line["gini"], 3),
                number(line["novelty"], 2),
            ]
            for line in where(lines, country=EVERYWHERE)
        ],
        frozenset({1}),
        paths.csv("exposure"),
    )
    countries = large([line for line in lines if line["country"] != EVERYWHERE])
    if countries:
        grid = Grid(
            "exposure-countries",
            "Popularity ranks of the recommended tracks by country: percentiles and mean",
            [
                "country",
                "space",
                "strategy",
                "users",
                "5 %",
                "25 %",
                "50 %",
                "75 %",
                "95 %",
                "mean",
            ],
            [
                [
                    line["country"],
                    space_name(line["space"]),
                    strategy_name(line["strategy"]),
                    str(line["users"]),
                    *(number(line[rank], 1) for rank in _RANKS),
                ]
                for line in countries
            ],
            frozenset({1, 2}),
        )
        yield Fold("The numbers by country", [grid])


def _replay(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        return
    yield Text(
        "Each test user's carousel of playlists, replayed on what the user did in the following "
        "days: no online test, since nothing here was streamed because it was shown."
    )
    yield Grid(
        "replay-table",
        "Rates in per cent of the playlists on display, and relative to the first arm",
        ["arm", "space", "design", "rate of", "users", *_RATES, "p", "p Holm"],
        [
            [
                arm_name(line["arm"]),
                space_name(line["space"]),
                line["design"],
                RATE_LABELS.get(str(line["measure"]), str(line["measure"])),
                str(line["users"]),
                percent(line["rate"]),
                interval(line["low"], line["high"]),
                percent(line["relative"], sign=True),
                interval(line["relative_low"], line["relative_high"]),
                p_value(line["p_value"]),
                p_value(line["p_holm"]),
            ]
            for line in lines
        ],
        frozenset({1, 2, 3}),
        paths.csv("replay"),
    )


# -- Table 2, predictions, training ------------------------------------------------------------


def _segments(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    for space in distinct(lines, "space"):
        here = sorted(where(lines, space=space), key=lambda line: (-line["size"], line["segment"]))
        yield without_gaps(
            Grid(
                f"segments-{space}",
                f"{space_name(space)}: the {min(SEGMENTS, len(here))} largest of {len(here)} "
                "segments, with the share of members who streamed a track, in per cent, and its "
                "mean over a playlist's tracks",
                ["segment", "users", "country", "age", "genres", "tracks", "playlists"],
                [
                    [
                        str(line["segment"]),
                        str(line["size"]),
                        listed([line["country"]] if line["country"] is not None else []),
                        listed([line["age_class"]] if line["age_class"] is not None else []),
                        listed(line["genres"]),
                        _named(line, "track"),
                        _named(line, "playlist"),
                    ]
                    for line in here[:SEGMENTS]
                ],
                frozenset({2, 3, 4, 5, 6}),
                paths.csv("segments"),
            )
        )


def _named(line: Mapping[str, Any], kind: str) -> str:
    """Tracks or playlists by title, or by id where they have none, with their probabilities."""
    columns = (line[f"{kind}_{name}"] for name in ("ids", "titles", "probabilities"))
    return listed(
        f"{each if title is None else title} ({100 * probability:.0f})"
        for each, title, probability in zip(*columns, strict=True)
    )


def _calibration(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        return
    grid = Grid(
        "calibration-table",
        "Mean cosine of predictions, with 95 % bootstrap intervals",
        ["cohort", "space", "interactions", "users", "cosine", "95 % interval"],
        [
            [
                line["cohort"],
                space_name(line["space"]),
                line["group"],
                str(line["users"]),
                number(line["mean"], 3),
                f"[{number(line['low'], 3)}, {number(line['high'], 3)}]",
            ]
            for line in lines
        ],
        frozenset({1, 2}),
        paths.csv("calibration"),
    )
    yield Fold("The numbers", [grid])


def _learning(table: Table) -> Iterator[Block]:
    lines = lines_of(table)
    if not lines:
        return
    grid = Grid(
        "learning-table",
        "Training by epoch",
        [
            *("epoch", "space", "trained", "training loss", "validation cosine"),
            *("validation NDCG", "kept"),
        ],
        [
            [
                str(line["epoch"]),
                space_name(line["space"]),
                strategy_name(line["trained"]),
                "" if line["train_loss"] is None else f"{line['train_loss']:.5g}",
                number(line["validation_cosine"], 4),
                number(line["validation_ndcg"], 4),
                "kept" if line["kept"] else "",
            ]
            for line in lines
        ],
        frozenset({1, 2, 6}),
        paths.csv("learning"),
    )
    yield Fold("The numbers", [without_gaps(grid)])


SECTIONS: dict[str, tuple[str, Callable[[Table], Iterator[Block]]]] = {
    "comparisons": ("Comparison of strategies", _comparisons),
    "strata": ("Quality by user group", _strata),
    "examples": ("Ten users", examples),
    "exposure": ("What is recommended", _exposure),
    "discovery": ("Accuracy against discovery", discovery),
    "replay": ("Carousel replay", _replay),
    "segments": ("Segments", _segments),
    "segment-quality": ("Quality by segment", segment_quality),
    "calibration": ("Accuracy of predictions", _calibration),
    "learning": ("Training", _learning),
    "experts": ("What experts add", experts),
    "blends": ("How many validation users it takes", blends),
    "weights": ("What Best goes by", weights),
    "new-releases": ("New releases", new_releases),
}
"""Heading and blocks of each table's section, in the order of the page."""
