"""Figures show the numbers of their tables, the same way each time."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gpu_coldstart.evaluation.measures import TEXTBOOK
from gpu_coldstart.evaluation.tables import SCHEMAS, Table, assemble
from gpu_coldstart.reporting.drawn import draw
from gpu_coldstart.reporting.figures import Drawing, drawings
from gpu_coldstart.reporting.figures.common import shortened
from gpu_coldstart.reporting.rows import lines_of
from gpu_coldstart.reporting.style import styled
from gpu_coldstart.reporting.svg import inline, png_bytes, svg_bytes
from tests.outputs import PAGE
from tests.runs.helpers import one_thread

SVG = "{http://www.w3.org/2000/svg}"
Tables = dict[str, Table]


@pytest.fixture(scope="module")
def drawn(tables: Tables) -> Iterator[dict[str, Drawing]]:
    with styled():
        yield {drawing.name: drawing for drawing in drawings(tables)}


def marked(axes: Axes) -> set[tuple[float, float]]:
    """Every point that a marker stands on."""
    return {
        (round(float(x), 6), round(float(y), 6))
        for line in axes.lines
        if line.get_marker() not in {"None", None, ""}
        for x, y in np.column_stack(
            [np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata())]
        )
    }


def segments(axes: Axes, along: int) -> set[tuple[float, float]]:
    """Both ends of every interval, along x (0) or y (1)."""
    return {
        (round(float(start[along]), 6), round(float(end[along]), 6))
        for collection in axes.collections
        for start, end in collection.get_segments()  # type: ignore[attr-defined]  # they are lines
    }


def one(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]


def test_all_of_them_in_order(drawn: dict[str, Drawing]) -> None:
    wanted = [
        "sizes",
        "results",
        "comparisons",
        "strata-tt-svd",
        "strata-ut-als",
        "exposure",
        "replay",
    ]
    assert list(drawn) == [*wanted, "calibration", "learning"]
    for drawing in drawn.values():
        assert drawing.title
        assert drawing.caption.endswith(".")
        assert drawing.name.startswith(drawing.table)


def test_sizes_show_the_share_of_each_cohort(drawn: dict[str, Drawing], tables: Tables) -> None:
    lines = lines_of(tables["sizes"])
    for what, axes in zip(("events", "tracks"), drawn["sizes"].figure.axes, strict=True):
        mine = [line for line in lines if line["what"] == what]
        users = {"warm": 120, "validation": 30, "test": 30}
        shares = {round(100 * line["users"] / users[line["cohort"]], 6) for line in mine}
        assert {y for _, y in marked(axes)} | {0} == shares | {0}
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert names[-1].endswith(str(max(line["most"] for line in mine)))


def test_results_show_means_and_intervals(drawn: dict[str, Drawing], tables: Tables) -> None:
    panels = drawn["results"].figure.axes
    assert [axes.get_title(loc="left") for axes in panels][:3] == [
        "Precision@5",
        "Recall@5",
        "NDCG@5",
    ]
    at = {(k, m): panels[3 * i + j] for i, k in enumerate((5, 10))
          for j, m in enumerate(("precision", "recall", "ndcg"))}  # fmt: skip
    for line in lines_of(tables["results"]):
        if line["measure"] in TEXTBOOK:
            continue  # of the table alone
        axes = at[line["k"], line["measure"]]
        assert round(100 * line["mean"], 6) in {x for x, _ in marked(axes)}
        assert tuple(one((100 * line["low"], 100 * line["high"]))) in segments(axes, 0)
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["Popularity", "Full-Pers.", "Semi-Pers."]


def test_comparisons_show_what_is_added_to_the_chart(
    drawn: dict[str, Drawing], tables: Tables
) -> None:
    panels = dict(zip(("tt-svd", "ut-als"), drawn["comparisons"].figure.axes, strict=True))
    names = [label.get_text() for label in panels["tt-svd"].get_yticklabels()]
    assert names == ["Full-Pers.", "Semi-Pers."]
    ends = {space: set[tuple[float, float]]() for space in panels}
    means = {space: set[float]() for space in panels}
    for line in lines_of(tables["comparisons"]):
        if line["strategy_a"] == "popularity" and (line["k"], line["measure"]) == (10, "ndcg"):
            ends[line["space"]].add((-100 * line["high"], -100 * line["low"]))
            means[line["space"]].add(-100 * line["difference"])
    for space, axes in panels.items():
        assert {x for x, _ in marked(axes)} == set(one(means[space]))
        assert segments(axes, 0) == {tuple(one(pair)) for pair in ends[space]}


@pytest.mark.parametrize("space", ["tt-svd", "ut-als"])
def test_strata_show_every_group(drawn: dict[str, Drawing], tables: Tables, space: str) -> None:
    panels = drawn[f"strata-{space}"].figure.axes
    lines = [
        line
        for line in lines_of(tables["strata"])
        if (line["space"], line["k"], line["measure"]) == (space, 10, "precision")
    ]
    kinds = list(dict.fromkeys(line["by"] for line in lines))
    assert len(panels) == len(kinds) == 6
    for by, axes in zip(kinds, panels, strict=True):
        mine = [line for line in lines if line["by"] == by]
        assert {y for _, y in marked(axes)} == {*one(100 * line["mean"] for line in mine)}
        ends = {tuple(one((100 * line["low"], 100 * line["high"]))) for line in mine}
        assert segments(axes, 1) == ends
        groups = {(line["order"], line["group"], line["users"]) for line in mine}
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == [f"{shortened(group)}\n{users}" for _, group, users in sorted(groups)]


def test_exposure_shows_medians_and_quantiles(drawn: dict[str, Drawing], tables: Tables) -> None:
    panels = dict(zip(("tt-svd", "ut-als"), drawn["exposure"].figure.axes, strict=True))
    for line in lines_of(tables["exposure"]):
        axes = panels[line["space"]]
        assert line["p50"] in {x for x, _ in marked(axes)}
        spans = {tuple(one((line["p5"], line["p95"]))), tuple(one((line["p25"], line["p75"])))}
        assert spans <= segments(axes, 0)


def test_replay_shows_what_can_be_told(drawn: dict[str, Drawing], tables: Tables) -> None:
    lines = [line for line in lines_of(tables["replay"]) if line["relative"] is not None]
    assert lines
    xs = {x for axes in drawn["replay"].figure.axes for x, _ in marked(axes)}
    assert xs == {*one(100 * line["relative"] for line in lines)}


def test_calibration_and_learning(drawn: dict[str, Drawing], tables: Tables) -> None:
    for axes, cohort in zip(drawn["calibration"].figure.axes, ("warm", "validation"), strict=True):
        mine = [line for line in lines_of(tables["calibration"]) if line["cohort"] == cohort]
        assert {y for _, y in marked(axes)} == {*one(line["mean"] for line in mine)}
    lines = lines_of(tables["learning"])
    for axes, column in zip(
        drawn["learning"].figure.axes, ("train_loss", "validation_cosine"), strict=True
    ):
        kept = {(line["epoch"], round(line[column], 6)) for line in lines if line["kept"]}
        assert marked(axes) == kept
        points = {y for line in axes.lines for y in one(np.atleast_1d(line.get_ydata()))}
        assert points == {*one(line[column] for line in lines)}


def test_discovery_shows_every_setting() -> None:
    known = dict.fromkeys(SCHEMAS["discovery"], 0.25) | {"strategy": "best", "k": 5, "users": 7}
    rows = [
        known
        | {"space": space, "discovery": dial, "country": country}
        | {"ndcg": ndcg, "share_top_1000": ndcg / 2}
        for space in ("tt-svd", "ut-als")
        for dial, ndcg in ((0.0, 0.5), (0.1, 0.375))
        for country in ("all", "FR")
    ]
    with styled():
        (found,) = drawings({"discovery": assemble("discovery", rows)})
    (axes,) = found.figure.axes
    assert marked(axes) == {(75.0, 50.0), (81.25, 37.5)}
    assert [text.get_text() for text in axes.texts] == ["0", "0.1"] * 2


# -- odd tables --------------------------------------------------------------------------------


def test_nothing_to_draw() -> None:
    empty: Tables = {name: {column: [] for column in schema} for name, schema in SCHEMAS.items()}
    assert draw(empty) == draw({}) == {}


def test_one_space_one_strategy_one_group(tables: Tables) -> None:
    few = {
        name: assemble(
            name,
            [
                line
                for line in lines_of(table)
                if line.get("space") == "tt-svd"
                and line.get("strategy", "semi") == "semi"
                and line.get("strategy_a", "full") == "full"  # of which the chart is none
                and line.get("by", "age") == "age"
                and line.get("country", "all") in {"all", None}
                and line.get("cohort", "warm") == "warm"
            ],
        )
        for name, table in tables.items()
        if name != "segments"
    }
    assert list(draw(few)) == ["results", "strata", "exposure", "replay", "calibration", "learning"]


def test_a_strategy_and_a_space_of_somebody_elses(tables: Tables) -> None:
    """A plugged-in space or strategy has no name in the paper and a look of its own."""
    lines = [
        line | {"space": f"my <{line['space']}>", "strategy": f"my {line['strategy']} & co"}
        for line in lines_of(tables["strata"])
        if (line["space"], line["by"]) == ("tt-svd", "skips")
    ]
    found = draw({"strata": assemble("strata", lines)})["strata"]
    text = texts(found[0].files["figures/strata-my <tt-svd>.svg"])
    assert "my semi & co" in text


def test_relative_rates_without_an_interval(tables: Tables) -> None:
    lines = [
        line | {"relative_low": None, "relative_high": None} for line in lines_of(tables["replay"])
    ]
    assert draw({"replay": assemble("replay", lines)})["replay"]
    nothing = [line | {"relative": None} for line in lines]
    assert draw({"replay": assemble("replay", nothing)}) == {}


# -- files -------------------------------------------------------------------------------------


def texts(svg: bytes) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_files_are_what_their_names_say(hostile: Path) -> None:
    for path in (hostile / "figures").iterdir():
        content = path.read_bytes()
        if path.suffix == ".svg":
            assert ElementTree.fromstring(content).tag == f"{SVG}svg"
            assert b"dc:date" not in content
            assert b"Matplotlib v" not in content
        else:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                assert image.format == "PNG"
                assert min(image.size) > 200
                assert "Software" not in image.info
    assert "Semi-Pers." in texts((hostile / "figures/results.svg").read_bytes())


def test_the_dictionary_of_files_names_every_figure(hostile: Path) -> None:
    named = PAGE.read_text(encoding="utf-8").partition("`figures/TABLE.svg`")[2].partition("##")[0]
    for path in (hostile / "figures").iterdir():
        name = re.sub("^strata-.*", "strata-SPACE", path.stem)
        assert f"`{name}`" in named, f"{path.name} is not in docs/outputs.md"


AGAIN = """
import hashlib, json, sys
from pathlib import Path
from gpu_coldstart.runs.store import RunDirectory
from gpu_coldstart.evaluation.measures import TEXTBOOK
from gpu_coldstart.runs.tables import read_tables
from gpu_coldstart.reporting.drawn import draw
run = Path(sys.argv[1])
page = (run / "report.html").read_text("utf-8")
for several in draw(read_tables(RunDirectory.finished(run).read("analysis"))).values():
    for each in several:
        assert each.picture.markup in page, each.picture.id
        for name, content in each.files.items():
            assert content == (run / name).read_bytes(), name
            print(name)
"""


def test_drawn_elsewhere_they_are_the_same_bytes(hostile: Path, tmp_path: Path) -> None:
    """In another process, where somebody has other settings."""
    (tmp_path / "matplotlibrc").write_text(
        "lines.linewidth: 9\nfont.size: 20\nsvg.fonttype: path\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", AGAIN, str(hostile)],
        cwd=Path(__file__).parents[2],
        env=one_thread() | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.split()) == 18


def test_on_a_phone_all_panels_stand_below_one_another(tables: Tables) -> None:
    (found,) = draw({"results": tables["results"]})["results"]
    wide, narrow = ElementTree.fromstring(f"<p>{found.picture.markup}</p>")
    assert (wide.get("class"), narrow.get("class")) == ("wide", "narrow")
    assert float(str(narrow.get("viewBox")).split()[2]) == pytest.approx(72 * 3.75)
    shown = [["".join(e.itertext()) for e in root.iter("text")] for root in (wide, narrow)]
    assert set(shown[0]) >= {"Semi-Pers.", "TT-SVD", "NDCG@10"}
    assert {text for text in shown[0] if not text[0].isdigit()} <= set(shown[1])
    # Two lengths of list and three measures: a row of panels has the names once, a panel each.
    assert (shown[0].count("Semi-Pers."), shown[1].count("Semi-Pers.")) == (2, 6)


def drawing_of(label: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    axes.plot([0, 1], [0, 1], marker="o")
    axes.set_title(label)
    return figure


def test_names_of_any_kind_are_drawn_as_they_are() -> None:
    """Scripts that the font lacks, and what Matplotlib takes for formulas."""
    name = "\N{CJK UNIFIED IDEOGRAPH-4E2D} $\\frac$"
    with styled(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert name in texts(svg_bytes(drawing_of(name)))
        assert png_bytes(drawing_of(name)).startswith(b"\x89PNG")


def test_inlined_twice_no_ids_clash() -> None:
    with styled():
        svg = svg_bytes(drawing_of("<b> & 'x'"))
    parts = [
        ElementTree.fromstring(inline(svg, name, '"<i>&', look="wide")) for name in ("one", "other")
    ]
    for name, root in zip(("one", "other"), parts, strict=True):
        assert root.find("title") is not None
        assert root.findtext("title") == '"<i>&'
        assert root.attrib["aria-labelledby"] == f"{name}-title"
        assert "<b> & 'x'" in ["".join(e.itertext()) for e in root.iter("text")]
        ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
        assert len(ids) == len(set(ids)) > 2
        assert all(each.startswith(f"{name}-") for each in ids)
        targets = {e.attrib["href"][1:] for e in root.iter() if "href" in e.attrib}
        assert targets
        assert targets <= set(ids)
        assert not list(root.iter("style")) + list(root.iter("metadata"))
        assert "font-family" not in ElementTree.tostring(root, encoding="unicode")
