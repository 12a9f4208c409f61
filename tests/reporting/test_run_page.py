"""report.html of whole runs, and of runs made up to be odd."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.evaluation.measures import TEXTBOOK
from gpu_coldstart.evaluation.protocol import Row, Summary
from gpu_coldstart.evaluation.tables import SCHEMAS, Table, assemble
from gpu_coldstart.reporting.blocks import NOT_KNOWN
from gpu_coldstart.reporting.drawn import draw
from gpu_coldstart.reporting.run_page import RunSummary, run_page
from gpu_coldstart.runs.names import visible
from gpu_coldstart.runs.progress import StageTime
from tests.reporting.conftest import COUNTRIES, GENRE
from tests.reporting.reading import Read, sound
from tests.runs.helpers import command, listed, synthetic
from tests.test_names import UNSEEN

EMPTY: dict[str, Table] = {
    name: {column: [] for column in schema} for name, schema in SCHEMAS.items()
}
ROW = Row("tt-svd", "semi", 50, 7, *[Summary(0.25, 0.5, 0.125, 0.375)] * 3)
SUMMARY = RunSummary(
    title="a run",
    date="2026-01-01",
    config=flat(Config()),
    engine="cpu",
    device="",
    versions={"python": "3"},
    digest="",
    statistics=[("test users", "7")],
    split_rule="by hand",
    rows=[ROW],
    tables=EMPTY,
    losses={},
    stages=[StageTime("logs", 1.25, 100.0)],
    warnings=[],
    files=["results.json"],
)


def page(**changes: Any) -> Read:
    facts = replace(SUMMARY, **changes)
    return sound(run_page(facts, draw(facts.tables)).decode())


@pytest.fixture(scope="module")
def read(hostile: Path) -> Read:
    return sound((hostile / "report.html").read_text("utf-8"))


def test_files_it_points_to_are_there(hostile: Path, read: Read) -> None:
    targets = {e.attributes["href"] for e in read.all("a")}
    files = {target for target in targets if not target.startswith("#")}
    assert {"results.json", "config.toml", "run.log", "tables/strata.csv"} <= files
    assert {"figures/results.svg", "figures/results.png", "figures/strata-ut-als.svg"} <= files
    assert all((hostile / name).is_file() for name in files)


def test_figures_are_files_of_the_run(hostile: Path, read: Read) -> None:
    drawn = {name for name in listed(hostile) if name.startswith("figures/")}
    assert drawn == {f"figures/{path.name}" for path in (hostile / "figures").iterdir()}
    assert len(drawn) == 2 * len(read.all("figure")) == 18


def test_every_number_of_the_results_is_there(hostile: Path, read: Read) -> None:
    rows = json.loads((hostile / "results.json").read_text())["rows"]
    for k in (5, 10):
        mine = [row for row in rows if row["k"] == k]
        lines = read.cells(f"results-{k}")[1:]
        assert len(lines) == len(mine) == 6
        for row, line in zip(mine, lines, strict=True):
            for i, measure in enumerate(("precision", "recall", "ndcg")):
                assert (
                    line[2 + 2 * i]
                    == f"{100 * row[measure]:.2f} ± {100 * row[measure + '_std']:.2f}"
                )
                low, high = row[f"{measure}_ci95"]
                assert line[3 + 2 * i] == f"[{100 * low:.2f}, {100 * high:.2f}]"


def test_the_textbooks_measures_stand_below(hostile: Path, read: Read) -> None:
    heads = ["strategy", "space", "Textbook precision@5", "MAP@5", "MRR@5", "Hit rate@5"]
    lines = read.cells("textbook-5")
    assert lines[0] == heads
    stored = pq.read_table(hostile / "artifacts/analysis/results.parquet").to_pylist()
    wanted = [
        f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f}"
        for row in stored
        if row["k"] == 5 and row["measure"] in TEXTBOOK
    ]
    assert [cell for line in lines[1:] for cell in line[2:]] == wanted
    assert len(wanted) == 6 * 4


def test_who_is_better_is_what_the_comparisons_say() -> None:
    """Significant is an adjusted p below 0.05, and the sign says for whom."""
    found = [
        ("precision", "semi", "popularity", 0.1, 0.01),
        ("precision", "semi", "full", -0.1, 0.049),
        ("precision", "popularity", "full", -0.2, 0.05),
        ("recall", "semi", "popularity", 0.1, 0.5),
        ("ndcg", "semi", "full", 0.012345, 1e-9),
        ("ndcg", "semi", "popularity", 0.1, 1e-9),
    ]
    rows = [
        {
            **dict.fromkeys(SCHEMAS["comparisons"], 0.04),
            "space": "ut-als",
            "k": 5,
            "measure": measure,
            "strategy_a": a,
            "strategy_b": b,
            "difference": difference,
            "p_holm": p,
        }
        for measure, a, b, difference, p in found
    ]
    read = page(tables=EMPTY | {"comparisons": assemble("comparisons", rows)})
    assert read.cells("better-ut-als-5")[1:] == [
        ["Semi-Pers.", "Popularity", NOT_KNOWN, "Full-Pers., Popularity"],
        ["Popularity", NOT_KNOWN, NOT_KNOWN, NOT_KNOWN],
        ["Full-Pers.", "Semi-Pers.", NOT_KNOWN, NOT_KNOWN],
    ]
    line = read.cells("pairs-ut-als-5")[5]
    assert line == [
        *("Semi-Pers.", "Full-Pers.", "NDCG", "+1.23", "[4.00, 4.00]", "0.040", "0.040", "< 0.001")
    ]


def test_experts_are_shown_with_what_they_add() -> None:
    rows = [
        {
            "space": "ut-als",
            "strategy": "best",
            "expert": expert,
            "added": added,
            "kept": added > 0,
        }
        for expert, added in (("semi", -0.00123), ("ridge", 0.02))
    ]
    read = page(tables=EMPTY | {"experts": assemble("experts", rows)})
    assert read.cells("experts-table")[1:] == [
        ["UT-ALS", "Best", "Semi-Pers.", "\N{MINUS SIGN}0.12", ""],
        ["UT-ALS", "Best", "Ridge", "+2.00", "kept"],
    ]


@pytest.mark.parametrize(
    ("weight", "verdict"),
    [(0.5, "lifts what"), (-0.5, "pushes down what"), (0.0, "takes the lists of one strategy")],
)
def test_whether_a_track_may_come_again_is_said(weight: float, verdict: str) -> None:
    rows = [
        {
            "space": "ut-als",
            "strategy": "best",
            "kind": "signal",
            "name": name,
            "feature": "count",
            "weight": value,
        }
        for name, value in (("streamed_songs", weight), ("streamed_artists", 2.0))
    ]
    read = page(tables=EMPTY | {"weights": assemble("weights", rows)})
    assert any(f"Best in UT-ALS {verdict}" in e.text for e in read.all("p"))
    assert read.cells("weights-table")[2] == [
        *("UT-ALS", "Best", "signal", "streamed_artists", "count", "2.000")
    ]


def test_discovery_is_shown_with_what_it_costs() -> None:
    known = dict.fromkeys(SCHEMAS["discovery"], 0.25) | {"space": "ut-als", "strategy": "best"}
    rows = [
        known | {"discovery": dial, "k": 5, "users": 7, "country": country, "ndcg": ndcg}
        for dial, ndcg in ((0.0, 0.5), (0.1, 0.375))
        for country in ("all", "FR")
    ]
    read = page(tables=EMPTY | {"discovery": assemble("discovery", rows)})
    assert read.cells("discovery-table") == [
        ["dial", "strategy", "space", "NDCG@5", "outside", "coverage", "Gini", "novelty"],
        ["0", "Best", "UT-ALS", "50.00", "75.00", "25.00", "0.250", "0.25"],
        ["0.1", "Best", "UT-ALS", "37.50", "75.00", "25.00", "0.250", "0.25"],
    ]
    assert read.cells("discovery-countries")[2] == [
        *("0.1", "Best", "UT-ALS", "37.50", "75.00", "FR", "7")
    ]
    assert "discovery" not in {e.attributes.get("id") for e in page(tables=EMPTY).elements}


def test_new_releases_are_shown_a_line_for_each_source() -> None:
    values = {"placed": 0.1, "learned": 0.2, "popularity": 0.3, "chance": 0.4}
    rows = [
        {
            "space": "ut-als",
            "new": "album",
            "source": source,
            "tracks": 7,
            "users": 40,
            "wanted": wanted,
            "k": 5,
            "ranked_by": by,
            "cosine": 0.1234 if by == "placed" else None,
            "recall": value if wanted else None,
            "among": None,
            "listed": value / 2,
        }
        for source, wanted in (("artist", 30), ("none", 0))
        for by, value in values.items()
    ]
    read = page(tables=EMPTY | {"new-releases": assemble("new-releases", rows)})
    recalls, unknown = ["10.00", "20.00", "30.00", "40.00"], [NOT_KNOWN] * 3
    listed = ["5.00", "10.00", "20.00"]
    assert read.cells("new-releases-table")[1:] == [
        ["UT-ALS", "its album", "artist", "7", "30", "0.123", *recalls, *unknown, *listed],
        ["UT-ALS", "its album", "none", "7", "0", "0.123", NOT_KNOWN, *unknown, *unknown, *listed],
    ]


@pytest.mark.parametrize("name", ["strata", "exposure", "segments", "calibration", "learning"])
def test_the_tables_have_their_sections(read: Read, name: str) -> None:
    assert name in {e.attributes["id"] for e in read.all("h2")}


def test_names_are_data(hostile: Path, read: Read) -> None:
    """Reading it at all has shown that no element came of a name."""
    text = "".join(e.text for e in read.all("table"))
    assert all(visible(name) in text for name in COUNTRIES.values())
    assert visible(GENRE) in text
    drawn = "".join(e.text for e in read.all("svg"))
    assert "$x_$ & 中" in drawn
    for country in COUNTRIES.values():
        assert visible(country)[:7] in drawn
    assert "<script" not in (hostile / "report.html").read_text("utf-8")


def test_data_settings_stages_and_warnings(hostile: Path, read: Read) -> None:
    told = json.loads((hostile / "results.json").read_text())
    users = pq.read_table(hostile / "artifacts/tt-svd/semi.measures.parquet").num_rows
    assert ["test users", str(users)] in read.cells("data-table")
    assert [line[0] for line in read.cells("times-table")[1:]] == [
        s["name"] for s in told["stages"]
    ]
    assert [line[0] for line in read.cells("settings")[1:]] == list(flat(Config()))
    assert ["evaluation.k", "5, 10"] in read.cells("settings")
    before = [e for e in read.all("li") if "main" not in e.within]
    points = [e.text for e in before if "section" in e.within]
    assert points[-len(told["warnings"]) :] == told["warnings"]
    assert " is ahead, with an NDCG@10 of " in points[0]
    order = [e.attributes.get("id") for e in read.elements]
    assert (
        order.index("verdict")
        < order.index("warnings")
        < order.index("contents")
        < order.index("run")
    )


def test_contents_name_every_section(read: Read) -> None:
    inside = [e for e in read.all("a") if "nav" in e.within]
    sections = [e for e in read.all("h2") if "main" in e.within]
    assert [e.attributes["href"][1:] for e in inside] == [e.attributes["id"] for e in sections]
    assert [e.text for e in inside] == [e.text for e in sections]


def test_nothing_invisible_is_in_any_file(hostile: Path, tmp_path: Path) -> None:
    """And the run goes on with such names."""
    again = Path(shutil.copytree(hostile, tmp_path / "run"))
    more = ("--config", again / "config.toml", "--k", "5", "--out", again, "--resume")
    assert command(*more).status == 0
    for path in [path for run in (hostile, again) for path in run.rglob("*")]:
        if path.suffix in (".csv", ".html", ".json", ".log", ".md", ".svg"):
            assert not UNSEEN.findall(path.read_text("utf-8")), path


def test_names_in_csv_are_neither_formulas_nor_controls(hostile: Path) -> None:
    with (hostile / "tables/strata.csv").open(encoding="utf-8", newline="") as file:
        groups = {line["group"] for line in csv.DictReader(file) if line["by"] == "country"}
    assert "'" + visible(COUNTRIES["FR"]) in groups
    assert {visible(COUNTRIES["BR"]), visible(COUNTRIES["DE"])} <= groups
    stored = pq.read_table(hostile / "artifacts/analysis/strata.parquet")["group"].to_pylist()
    assert set(COUNTRIES.values()) <= set(stored)


# -- odd runs ----------------------------------------------------------------------------------


def test_without_analysis_it_says_why(tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("--space", "ut-als", "--strategies", "semi")
    options = synthetic(evaluation__analysis="false", evaluation__figures="true")
    result = command(*options, *few, "--out", out)
    assert result.status == 0, result.err
    read = sound((out / "report.html").read_text("utf-8"))
    assert any("evaluation.analysis = false" in e.text for e in read.all("p"))
    assert {path.name for path in (out / "figures").iterdir()} == {"results.png", "results.svg"}
    assert len(read.all("figure")) == 1
    files = [
        e.attributes["href"] for e in read.all("a") if not e.attributes["href"].startswith("#")
    ]
    assert all((out / name).is_file() for name in files)
    assert "written to" in result.out
    assert "report.html" in result.out


def test_a_failure_in_drawing_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--space", "ut-als", "--strategies", "popularity", "--out", tmp_path / "run")
    options = [*synthetic(evaluation__figures="true"), *few]

    def broken(*_: Any) -> None:
        raise ValueError("no ink\nat all")

    with monkeypatch.context() as patch:
        patch.setattr("gpu_coldstart.reporting.drawn.svg_bytes", broken)
        result = command(*options)
    assert result.status == 0, result.err
    assert "figures could not be drawn (ValueError: no ink)" in result.out
    assert "figures/" not in result.out.split("written to")[1]
    made = listed(tmp_path / "run")
    assert {"results.md", "tables/results.csv"} <= made.keys()
    assert json.loads((tmp_path / "run/results.json").read_bytes())["rows"]
    assert "recommendations/ut-als/popularity.parquet" in made
    read = sound((tmp_path / "run/report.html").read_text("utf-8"))
    assert any("could not be drawn" in e.text for e in read.all("li"))
    again = command(*options, "--resume")
    assert again.status == 0, again.err
    assert "could not be drawn" not in again.out
    assert "figures/" in again.out.split("written to")[1]
    redrawn = listed(tmp_path / "run")
    assert {"figures/results.svg", "figures/strata-ut-als.png"} <= redrawn.keys()
    assert redrawn["tables/results.csv"] == made["tables/results.csv"]


def test_empty_tables_have_no_section() -> None:
    read = page()
    headings = [e.text for e in read.all("h2")]
    assert "Segments" not in headings
    assert "Quality by user group" not in headings
    assert not read.all("svg")
    assert any("nothing to compare" in e.text for e in read.all("p"))
    assert read.cells("results-50")[1][2:4] == ["25.00 ± 50.00", "[12.50, 37.50]"]
    assert "Please note" not in headings


def test_memory_of_a_device_where_there_is_one() -> None:
    stages = [StageTime("logs", 1.25, 100.0), StageTime("evaluation", 2.0, 90.0, 1536.4)]
    told = page(stages=stages, device="NVIDIA H100").cells("times-table")
    assert told[0][-1] == "peak on the device, MB"
    assert [line[-1] for line in told[1:]] == ["0", "1536"]
    captions = [caption.text for caption in page(stages=stages).all("caption")]
    assert any("3.2 seconds in all" in caption for caption in captions)
    assert len(page().cells("times-table")[0]) == 3


def test_titles_warnings_and_settings_are_data() -> None:
    evil = "</title><script>&lt;\"'"
    read = page(
        title=evil,
        warnings=[evil],
        device=evil,
        split_rule=evil,
        config=flat(Config()) | {"data": evil},
        losses={evil: [0.5]},
    )
    assert read.all("title")[0].text == evil == read.all("h1")[0].text
    assert evil in [e.text for e in read.all("li")]
    cells = [cell for line in read.cells("run-table") for cell in line]
    assert cells.count(evil) == 2


def test_the_theme_is_the_systems_unless_chosen(read: Read) -> None:
    names = [e.attributes for e in read.all("input")]
    assert [each["id"] for each in names] == ["theme-automatic", "theme-light", "theme-dark"]
    assert [("checked" in each) for each in names] == [True, False, False]
    style = read.all("style")[0].text
    assert "prefers-color-scheme: dark" in style
    drawn = "".join(
        value
        for e in read.elements
        if "svg" in (e.tag, *e.within)
        for value in e.attributes.values()
    )
    colors = set(re.findall(r"#[0-9a-f]{6}", drawn))
    assert not colors, "every colour is a variable"
    variables = set(re.findall(r"var\(--([\w-]+)\)", drawn + style))
    assert variables == set(re.findall(r"--([\w-]+):", style)) & variables
    assert {"ink", "muted", "paper", "series-0"} <= variables
