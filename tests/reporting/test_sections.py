"""Sections of report.html about single users, groups and stages, on tables made by hand."""

from __future__ import annotations

from gpu_coldstart.evaluation.tables import SCHEMAS, assemble
from tests.reporting.reading import Read
from tests.reporting.test_run_page import EMPTY, page


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
