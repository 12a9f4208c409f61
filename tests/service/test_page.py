"""The page of a newcomer, in a browser without a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import httpx
import pytest

from gpu_coldstart.errors import UserError
from gpu_coldstart.serving.recommender import Answer, Found, Question, Track
from tests.service.browser import ENTER, SHIFT_TAB, SPACE, TAB, Browser, browser
from tests.service.helpers import KEY, Echo, echoing
from tests.service.serving import served

LARGE = 2**60 + 1
"""An id that a double cannot hold."""


@dataclass
class Shop(Echo):
    """Thirty songs, in an order that turns with all that is known; it remembers the questions."""

    n_tracks: int = 30
    strategies: tuple[str, ...] = ("best", "semi")
    about: dict[str, Any] = field(default_factory=lambda: {"countries": ["FR", "DE", "Elsewhere"]})
    asked: list[Question] = field(default_factory=list)

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += questions
        return [self._list(question) for question in questions]

    def _list(self, question: Question) -> Answer:
        if question.age == 130:
            raise UserError("nothing is left to recommend to this user")
        events, names = question.events, self.names()
        # Text stands for an integer, as in the model.
        seen = {str(event.id) for event in events if event.action == "stream"}
        seen = seen if question.exclude_seen else set()
        turn = (int(question.age or 0) + len(question.country or "") + 3 * len(events)) % 30
        order = [n for n in (*range(turn, 30), *range(turn)) if str(self.id(n)) not in seen]
        signals = [{"signal": "streamed_songs", "share": 0.75}] if events else []
        parts = [
            {"kind": "expert", "name": "Ridge", "share": 0.9},
            {"kind": "signal", "name": "onboarding_like_artists", "share": 0.104},
            {"kind": "popularity", "name": "popularity", "share": -0.004},
        ]
        return Answer(
            tuple(
                Track(self.id(n), names[n], names[n] and f"Band {n % 5}", 1.0)
                for n in order[: question.k]
            ),
            len(events),
            f"like listeners from {question.country or 'anywhere'}, aged {question.age}",
            question.strategy or "best",
            {"segments": [], "signals": signals, "parts": parts},
            ("one thing is not known",) if question.strategy == "semi" else (),
        )

    def id(self, n: int) -> int | str:
        odd: dict[int, int | str] = {0: LARGE, 1: "one"}
        return odd.get(n, n)

    def names(self) -> list[str | None]:
        return [{3: None, 4: '<b id="evil">Bold</b>'}.get(n, f"Song {n}") for n in range(30)]

    def search(self, kind: str, text: str, limit: int = 20) -> list[Found]:
        names = self.names() if kind == "track" else [f"Band {n}" for n in range(5)]
        return [
            Found(self.id(n) if kind == "track" else n, name or str(self.id(n)))
            for n, name in enumerate(names)
            if text.lower() in (name or "").lower()
        ][:limit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for all tests."""
    with browser() as found:
        yield found


@contextmanager
def visiting(chromium: Browser, model: Echo, *, size: int = 1200, **options: Any) -> Iterator[str]:
    """The page of a service with a model, open in a browser that has nothing to complain of."""
    chromium.dress(width=size)
    with served(echoing(model, **options)) as url:
        chromium.complaints()
        chromium.open(url)
        yield url
        refused = re.compile(r"Failed to load resource: .* status of 4\d\d")
        assert [line for line in chromium.complaints() if not refused.search(line)] == []


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def page(chromium: Browser, shop: Shop) -> Iterator[Browser]:
    """The page of the shop, with its first list."""
    with visiting(chromium, shop):
        chromium.wait("document.querySelectorAll('#tracks li').length")
        chromium.wait("document.querySelectorAll('#artists li').length")
        yield chromium


def songs(page: Browser) -> list[str]:
    return page.texts("#tracks strong")


def choose(page: Browser, css: str, value: str) -> None:
    """Fill a field in, as a user who leaves it afterwards."""
    page.run(
        "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('change'))",
        css,
        value,
    )


def wait_for_song(page: Browser, name: str) -> None:
    page.wait(f"document.querySelector('#tracks strong').innerText === {name!r}")


def test_the_list_follows_a_newcomer(page: Browser, shop: Shop) -> None:
    assert songs(page)[:5] == ["Song 0", "Song 1", "Song 2", "Track 3", '<b id="evil">Bold</b>']
    assert len(songs(page)) == 20
    assert page.run("return document.querySelector('#evil')") is None
    assert page.text("#segment strong") == "Like listeners from anywhere, aged None"
    assert page.texts("#country option") == ["I'd rather not say", "Elsewhere", "France", "Germany"]

    choose(page, "#age", "7")
    wait_for_song(page, "Song 7")
    choose(page, "#country", "FR")
    wait_for_song(page, "Song 9")
    assert page.text("#segment strong") == "Like listeners from FR, aged 7"

    page.click("#artist")
    page.press("bAnD 3")
    page.wait("document.querySelectorAll('#artists li').length === 1")
    page.click("#artists button")
    wait_for_song(page, "Song 12")
    assert page.run("return document.querySelector('#artists button').ariaPressed") == "true"

    page.click("#tracks li:nth-child(2) .stream")
    wait_for_song(page, "Song 15")
    assert "Song 13" not in songs(page)
    assert page.texts("#events li span") == ["Played Song 13"]
    assert page.text("#segment").endswith("Segment 2 is nearest to you so far.")
    assert page.texts("#tracks .move")[:1] == ["▲ 3"]
    assert page.texts("#tracks .new") == ["new"] * 3
    assert page.text("#status") == "The list has changed: 3 of 20 tracks are new."

    page.click("#tracks li:nth-child(1) .skip")
    wait_for_song(page, "Song 18")
    page.click("#tracks li:nth-child(1) .ban")
    wait_for_song(page, "Song 21")
    assert page.texts("#events li span") == ["Banned Song 18", "Skipped Song 15", "Played Song 13"]
    question = shop.asked[-1]
    assert (question.country, question.age, question.k, question.explain) == ("FR", 7, 20, True)
    assert [(event.action, event.entity, event.id) for event in question.events] == [
        ("onboarding", "artist", 3),
        ("stream", "track", 13),
        ("skip", "track", 15),
        ("ban", "track", 18),
    ]

    page.click("#events li:nth-child(2) button")
    wait_for_song(page, "Song 18")
    page.click("#reset")
    wait_for_song(page, "Song 9")
    assert page.texts("#events li") == []
    assert shop.asked[-1].events == ()


def test_reasons_are_told_in_words(page: Browser) -> None:
    assert page.texts("#reasons h3") == ["What lifts them above other tracks"]
    assert page.texts("#reasons li") == ["strategy Ridge\n90 %", "your artists you like\n10 %"]
    page.click("#tracks li:nth-child(1) .stream")
    wait_for_song(page, "Track 3")
    assert page.texts("#reasons h3")[1:] == ["What was noticed about you"]
    assert page.texts("#reasons ul:last-child li")[-1] == "streamed songs\n75 %"
    assert page.run("return document.querySelector('#reasons li:last-child .full').style.width")


def test_the_way_to_recommend_can_be_chosen(page: Browser, shop: Shop) -> None:
    assert page.run("return document.querySelector('#strategy').value") == "best"
    choose(page, "#strategy", "semi")
    page.wait("document.querySelector('#notes').innerText")
    assert page.texts("#notes li") == ["one thing is not known"]
    assert shop.asked[-1].strategy == "semi"
    page.run("document.querySelector('details').open = true")
    page.click("#seen")
    page.wait("document.querySelector('#tracks').ariaBusy === 'false'")
    page.click("#tracks li:nth-child(6) .stream")
    wait_for_song(page, "Track 3")
    assert not shop.asked[-1].exclude_seen
    assert page.text("#tracks li:nth-child(3) .words") == "Song 5\nBand 0\nPlayed"


def test_a_track_is_found_by_name_and_played(page: Browser, shop: Shop) -> None:
    page.click("#track")
    page.press("song 2")
    page.wait("document.querySelectorAll('#found li').length === 5")
    assert page.texts("#found strong") == ["Song 2", "Song 20", "Song 21", "Song 22", "Song 23"]
    assert page.text("#track-note") == "5 tracks found."
    page.click("#found li:nth-child(3) .stream")
    wait_for_song(page, "Track 3")
    assert shop.asked[-1].events[0].id == 21
    assert page.text("#found li:nth-child(3) .words") == "Song 21\nPlayed"
    page.press("x")
    page.click("#track")
    page.press("x")
    page.wait("document.querySelector('#track-note').innerText === 'No track of that name.'")
    assert page.texts("#found li") == []


def test_ids_arrive_as_they_are(page: Browser, shop: Shop) -> None:
    page.click("#tracks li:nth-child(1) .stream")
    page.wait("document.querySelectorAll('#events li').length === 1")
    wait_for_song(page, "Track 3")
    choose(page, "#age", "28")
    wait_for_song(page, "Song 1")
    page.click("#tracks li:nth-child(1) .skip")
    page.wait("document.querySelectorAll('#events li').length === 2")
    wait_for_song(page, '<b id="evil">Bold</b>')
    assert [event.id for event in shop.asked[-1].events] == [str(LARGE), "one"]


def test_an_error_is_shown_until_there_is_a_list_again(page: Browser) -> None:
    choose(page, "#age", "130")
    page.wait("document.querySelector('#error').innerText")
    assert page.text("#error") == "Nothing is left to recommend to this user."
    assert len(songs(page)) == 20
    choose(page, "#age", "131")
    page.wait("document.querySelector('#error').innerText.startsWith('The age')")
    choose(page, "#age", "2")
    wait_for_song(page, "Song 2")
    assert page.text("#error") == ""


def test_a_service_that_is_gone_is_a_sentence(chromium: Browser) -> None:
    with served(echoing(Shop())) as url:
        chromium.open(url)
        chromium.wait("document.querySelectorAll('#tracks li').length")
    choose(chromium, "#age", "2")
    chromium.wait("document.querySelector('#error').innerText === 'The service does not answer.'")


def test_a_service_with_keys_asks_for_one(chromium: Browser) -> None:
    with visiting(chromium, Shop(), keys=(KEY,)):
        chromium.wait("!document.querySelector('#key').hidden")
        assert "key" in chromium.text("#error")
        chromium.click("#secret")
        chromium.press(KEY + ENTER)
        chromium.wait("document.querySelectorAll('#tracks li').length")
        assert chromium.text("#error") == ""


def test_a_model_without_countries_and_names_will_do(chromium: Browser) -> None:
    model = Shop(about={}, n_tracks=7)
    with visiting(chromium, model):
        chromium.wait("document.querySelectorAll('#tracks li').length === 7")
        chromium.click("#country")
        chromium.press("FR" + TAB)
        wait_for_song(chromium, "Song 2")
        assert model.asked[-1].country == "FR"


def test_of_two_changes_the_later_counts(page: Browser, shop: Shop) -> None:
    page.run(
        "for (const age of arguments[0]) { const field = document.querySelector('#age');"
        "field.value = age; field.dispatchEvent(new Event('change')) }",
        [*range(1, 20)],
    )
    wait_for_song(page, "Song 19")
    page.run("return new Promise((done) => setTimeout(done, 300))")
    assert songs(page)[0] == "Song 19"


# -- for everyone ------------------------------------------------------------------------------


def focus(page: Browser) -> str:
    """What the focus is on: its id, or else what a screen reader calls it."""
    found = page.run("const e = document.activeElement; return e.id || e.ariaLabel || e.innerText")
    return str(found)


def tab_to(page: Browser, name: str, key: str = TAB) -> None:
    for _ in range(100):
        page.press(key)
        if focus(page) == name:
            return
    raise AssertionError(f"no key leads to {name}")


def test_all_can_be_done_with_keys(page: Browser, shop: Shop) -> None:
    page.press(TAB)
    assert focus(page) == "To the list"
    tab_to(page, "age")
    page.press("7" + TAB)
    assert focus(page) == "country"
    page.press("Fra" + TAB)
    assert focus(page) == "artist"
    wait_for_song(page, "Song 9")
    tab_to(page, "Band 1")
    page.press(SPACE)
    wait_for_song(page, "Song 12")
    assert focus(page) == "Band 1"
    page.press(SPACE)
    wait_for_song(page, "Song 9")
    assert focus(page) == "Band 1"
    tab_to(page, "Play Song 10")
    page.press(ENTER)
    wait_for_song(page, "Song 12")
    # The track has left the list, and the focus is where it was.
    assert focus(page) == "Play Song 13"
    page.press(ENTER)
    wait_for_song(page, "Song 15")
    tab_to(page, "Undo: Played Song 10")
    page.press(ENTER)
    wait_for_song(page, "Song 12")
    assert focus(page) == "Undo: Played Song 13"
    page.press(ENTER)
    wait_for_song(page, "Song 9")
    assert focus(page) == "done-title"
    tab_to(page, "track", SHIFT_TAB)
    page.press("song 29")
    page.wait("document.querySelectorAll('#found li').length === 1")
    tab_to(page, "Ban Song 29")
    page.press(SPACE)
    wait_for_song(page, "Song 12")
    assert focus(page) == "Ban Song 29"
    assert [(event.action, event.id) for event in shop.asked[-1].events] == [("ban", 29)]


def test_where_the_focus_is_can_be_seen(page: Browser) -> None:
    for name in ("age", "artist", "Band 0", "Play Song 0"):
        tab_to(page, name)
        style = "getComputedStyle(document.activeElement)"
        assert page.run(f"return {style}.outlineStyle") == "solid"
        assert page.run(f"return parseFloat({style}.outlineWidth)") >= 2


def test_everything_has_a_name(page: Browser) -> None:
    page.tell("Accessibility.enable")
    nodes = page.tell("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "textbox", "searchbox", "spinbutton", "combobox", "checkbox", "link"}
    named: dict[str, list[str]] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in controls | {"main", "heading", "region"}:
            named.setdefault(role, []).append(node["name"].get("value", ""))
    assert {"Age"} == {*named["spinbutton"]}
    assert {"Artists you like", "Something else in mind?"} == {*named["searchbox"]}
    assert {"You", "For you", "Why these", "Your day so far"} <= {*named["region"]}
    assert {"Play Track 3", "Skip Song 0", "Band 4"} <= {*named["button"]}
    for role in controls & named.keys():
        assert all(named[role]), role
    live = "[...document.querySelectorAll('[role=status], [role=alert]')].map((e) => e.id)"
    assert page.run(f"return {live}") == ["error", "artist-note", "track-note", "status"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_is_wider_than_the_window(page: Browser, width: int, scheme: str) -> None:
    page.dress(width=width, scheme=scheme)
    page.click("#tracks li:nth-child(1) .stream")
    page.click("#track")
    page.press("song")
    page.wait("document.querySelectorAll('#found li').length")
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.run("return document.body.scrollWidth") <= width
    paper = page.run("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 25, 31)"}[scheme]


def test_nothing_comes_from_elsewhere(page: Browser) -> None:
    names = page.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    origin = page.run("return location.origin")
    assert len(names) >= 5
    assert {name[: len(origin)] for name in names} == {origin}


def colours() -> list[dict[str, str]]:
    """The variables of the style sheet, for light and for dark paper."""
    css = resources.files("gpu_coldstart.service").joinpath("page/page.css").read_text("utf-8")
    return [
        dict(re.findall(r"--([\w-]+): (#\w{6});", part))
        for part in re.findall(r":root {.*?}", css, re.S)
    ]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_from_their_ground() -> None:
    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    assert len(colours()) == 2
    for theme in colours():
        for ground in ("paper", "raised"):
            for ink in ("ink", "muted", "accent", "wrong"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
            assert contrast(theme["edge"], theme[ground]) >= 3
        assert contrast(theme["on-accent"], theme["accent"]) >= 4.5


# -- as files ----------------------------------------------------------------------------------


def test_the_files_have_their_types_and_nothing_else_is_served() -> None:
    kinds = {
        "": "text/html; charset=utf-8",
        "page.js": "text/javascript; charset=utf-8",
        "page.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }
    with served(echoing()) as url, httpx.Client(base_url=url) as client:
        for path, kind in kinds.items():
            found = client.get(path)
            assert (found.status_code, found.headers["content-type"]) == (200, kind)
            assert "default-src 'self'" in found.headers["content-security-policy"]
            assert found.headers["x-content-type-options"] == "nosniff"
        for path in ("index.html", "page", "page/page.js", "..%2fapp.py", "%2e%2e/app.py"):
            assert client.get(path).status_code == 404


def test_no_script_or_style_is_inline() -> None:
    page = resources.files("gpu_coldstart.service").joinpath("page/index.html").read_text("utf-8")
    assert re.findall(r"<script[^>]*>[^<]|<style|\sstyle=|\son\w+=|https?:", page) == []
