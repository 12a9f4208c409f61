"""Sections of report.html about single users, groups and stages, on tables made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpu_coldstart.evaluation.measures import MEASURES, TEXTBOOK
from gpu_coldstart.evaluation.tables import SCHEMAS, assemble
from gpu_coldstart.registry import STRATEGIES, Registry
from gpu_coldstart.reporting.glossary import MEASURES as GLOSSARY
from gpu_coldstart.reporting.glossary import meanings
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
