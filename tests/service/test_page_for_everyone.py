"""The page with keys only, in any width and light, for screen readers, and as files."""

from __future__ import annotations

import re
from importlib import resources

import httpx
import pytest

from tests.service.browser import ENTER, SHIFT_TAB, SPACE, TAB, Browser
from tests.service.helpers import echoing
from tests.service.serving import served
from tests.service.shop import Shop, wait_for_song


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
