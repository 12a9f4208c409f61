"""Sections of report.html about single users, groups and stages, on tables made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpu_coldstart.evaluation.measures import MEASURES, TEXTBOOK
from gpu_coldstart.evaluation.tables import SCHEMAS, assemble
from gpu_coldstart.registry import STRATEGIES, Registry
from gpu_coldstart.reporting.figures import drawings
from gpu_coldstart.reporting.glossary import MEASURES as GLOSSARY
from gpu_coldstart.reporting.glossary import meanings
from gpu_coldstart.reporting.style import styled
from gpu_coldstart.runs.progress import StageTime
from tests.reporting.reading import Read
from tests.reporting.test_run_page import EMPTY, ROW, page


class Mute:
    name = label = "mute"


def texts(read: Read, *tags: str) -> list[str]:
    return [element.text for element in read.all(*tags)]


def test_a_user_is_shown_with_reasons_and_ticked_hits() -> None:
    nothing: dict[str, object] = {
        name: [] for name, kind in SCHEMAS["examples"].items() if str(kind)[:4] == "list"
    }
    known = {"space": "ut-als", "strategy": "semi", "k": 3, "wanted": 1, "group": "1-2"}
    known |= nothing | {"track_ids": [5, 6, 7], "tracks": ["<i>a", "b", "c"]}
    rows = [
        known | {"user": 1, "country": None, "age_class": None},
        known
        | {"user": 2, "country": "FR", "age_class": "18-24", "did": ["liked 1 track: <b>", "more"]}
        | {"segments": ["like listeners"], "segment_shares": [1.0], "hits": [2]}
        | {"signals": ["streamed_songs", "age"], "signal_shares": [0.75, 0.125]},
    ]
    read = page(tables=EMPTY | {"examples": assemble("examples", rows)})
    assert texts(read, "h3") == ["User 1", "User 2"]
    facts = [*zip(texts(read, "dt"), texts(read, "dd"), strict=True)]
    assert facts[:4] == [
        ("known", "neither country nor age"),
        ("first day", "nothing"),
        ("streamed later", "1 track"),
        ("hits", "0 in the list's 3 places"),
    ]
    assert facts[4:] == [
        ("known", "FR, 18-24"),
        ("first day", "liked 1 track: <b>; more"),
        ("segments", "like listeners (100 %)"),
        ("placed by", "streamed songs (75 %); age (12 %)"),
        ("streamed later", "1 track"),
        ("hits", "1 in the list's 3 places"),
    ]
    assert texts(read, "strong") == ["b ✓"]


def test_every_word_of_the_tables_is_explained_once_and_on_hover() -> None:
    read = page(rows=[ROW, replace(ROW, strategy="popularity")])
    defined = [
        line
        for name in ("strategies", "spaces", "measures")
        for line in read.cells(f"glossary-{name}")[1:]
    ]
    assert len({term for term, _ in defined}) == len(defined)
    known = dict(defined)
    assert all(meaning.endswith(".") for meaning in known.values())
    assert set(known) >= {"Best", "Popularity", "Soft Allocation", "TT-SVD", "UT-ALS", "MAP"}
    shown = [(e.text, e.attributes["title"]) for e in read.all("abbr")]
    assert {"Semi-Pers.", "Popularity", "TT-SVD", "NDCG@50"} <= {term for term, _ in shown}
    for term, meaning in shown:
        assert meaning == known[term.partition("@")[0]]


def test_what_the_registry_does_not_know_or_says_nothing_is_left_out() -> None:
    assert not meanings(STRATEGIES, ["of-yesterday"])
    silent = Registry("strategy", "nobody", {"mute": "tests.reporting.test_sections:Mute"})
    assert not meanings(silent, ["mute"])


def test_the_page_of_definitions_has_every_measure() -> None:
    text = (Path(__file__).parents[2] / "docs/measures.md").read_text("utf-8")
    for term in GLOSSARY:
        assert term in text, term
    for name in (*MEASURES, *TEXTBOOK):
        assert f"| `{name}` |" in text


def stratum(by: str, group: str, users: int) -> dict[str, object]:
    known = {"space": "tt-svd", "strategy": "semi", "k": 5, "measure": "precision"}
    return (
        known
        | {"by": by, "group": group, "order": len(group), "users": users}
        | dict.fromkeys(("mean", "low", "high"), 0.5)
    )


def test_ways_to_group_that_tell_nothing_apart_have_no_panel_and_no_row() -> None:
    rows = [stratum("age", "unknown", 7), stratum("streams", "0", 3), stratum("streams", "1-2", 4)]
    found = EMPTY | {"strata": assemble("strata", rows)}
    assert [line[0] for line in page(tables=found).cells("strata-table-tt-svd")[1:]] == [
        "Tracks streamed: 0",
        "Tracks streamed: 1-2",
    ]
    with styled():
        (drawing,) = drawings(found)
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == ["Tracks streamed"]
    nothing = EMPTY | {"strata": assemble("strata", rows[:1])}
    assert "strata" not in page(tables=nothing).ids()


def test_countries_of_few_users_are_not_named_beside_larger_ones() -> None:
    known = dict.fromkeys(SCHEMAS["exposure"], 0.5) | {"space": "cml", "strategy": "semi", "k": 5}
    rows = [known | {"country": c, "users": n} for c, n in (("all", 60), ("A", 20), ("B", 19))]
    found = EMPTY | {"exposure": assemble("exposure", rows)}
    assert [line[0] for line in page(tables=found).cells("exposure-countries")] == ["country", "A"]
    with styled():
        (drawing,) = drawings(found)
    names = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert names == ["everybody", "A"]


def test_columns_of_segments_that_nothing_is_known_for_are_left_out() -> None:
    lists: dict[str, object] = {name: [] for name in SCHEMAS["segments"] if "_" in name}
    row = lists | {"space": "cml", "segment": 0, "size": 9, "country": None, "age_class": None}
    read = page(tables=EMPTY | {"segments": assemble("segments", [row | {"genres": ["rap"]}])})
    assert read.cells("segments-cml") == [["segment", "users", "genres"], ["0", "9", "rap"]]


def test_stages_are_a_timeline_with_memory() -> None:
    stages = [StageTime("logs", 1.0, 100.0), StageTime("tt-svd/space", 3.0, 400.0)]
    read = page(stages=stages)
    assert read.cells("times-table")[1:] == [
        ["logs", "1.00", "100"],
        ["tt-svd/space", "3.00", "400"],
    ]
    bars = [e.attributes["style"] for e in read.all("td") if e.attributes.get("class") == "bar"]
    ends = [("0.00", "25.00"), ("0.00", "25.00"), ("25.00", "100.00"), ("0.00", "100.00")]
    assert bars == [f"--from: {start}%; --to: {end}%" for start, end in ends]


def test_what_to_mind_is_apart_from_what_else_to_know() -> None:
    read = page(warnings=["a flaw"], notes=["a fact", "another"])
    titles = [element.text for element in read.all("h2")]
    assert titles.index("Please note") + 1 == titles.index("For information")
    before = [element.text for element in read.all("li") if "main" not in element.within]
    assert before[1:4] == ["a flaw", "a fact", "another"]
    assert "For information" not in texts(page(), "h2")


def test_quality_by_segment_is_its_spread_and_its_ends() -> None:
    rows = [
        {
            "space": "cml",
            "strategy": name,
            "k": 5,
            "segment": segment,
            "description": f"of {segment}",
        }
        | {"users": users, "mean": mean * scale, "low": 0.25, "high": None}
        for name, scale in (("popularity", 0.5), ("semi", 1.0))
        for segment, users, mean in (
            (7, 20, 0.1),
            (2, 30, 0.3),
            (5, 90, 0.2),
            (1, 19, 0.9),
            (None, 40, 1.0),
        )
    ]
    read = page(tables=EMPTY | {"segment-quality": assemble("segment-quality", rows)})
    assert [line[2:] for line in read.cells("segment-quality-table")[1:]] == [
        ["3", "5.00", "7.50", "10.00", "12.50", "15.00"],
        ["3", "10.00", "15.00", "20.00", "25.00", "30.00"],
    ]
    ends = read.cells("segment-ends-cml")[1:]
    assert [line[:3] for line in ends] == [
        ["2", "30", "30.00"],
        ["5", "90", "20.00"],
        ["7", "20", "10.00"],
    ]
    assert [line[4] for line in ends] == ["of 2", "of 5", "of 7"]
    few = [row for row in rows if row["segment"] in {7, None}]
    assert (
        "segment-quality"
        not in page(tables=EMPTY | {"segment-quality": assemble("segment-quality", few)}).ids()
    )


def test_the_date_and_the_datas_fingerprint_are_told() -> None:
    told = dict(page(digest="0123abc").cells("run-table")[1:])
    assert (told["date"], told["fingerprint of the data"]) == ("2026-01-01", "0123abc")
    assert "fingerprint of the data" not in dict(page().cells("run-table")[1:])


def test_the_commit_is_told_where_there_is_one() -> None:
    assert (
        dict(page(commit="4b20-dirty").cells("run-table")[1:])["commit of the code"] == "4b20-dirty"
    )
    assert "commit of the code" not in dict(page().cells("run-table")[1:])
