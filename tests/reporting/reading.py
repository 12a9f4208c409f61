"""A page as a browser without mercy would read it; the comparing command."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

from gpu_coldstart.cli.main import main
from tests.runs.helpers import Result

VOID = {"meta", "input", "br", "img", "link", "hr"}


def comparing(*arguments: object) -> Result:
    """Call the command that compares, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["compare", *map(str, arguments)])
    return Result(status, out.getvalue(), err.getvalue())


@dataclass
class Element:
    """An element with what is in it."""

    tag: str
    attributes: dict[str, str]
    within: tuple[str, ...]
    text: str = ""


@dataclass
class Read(HTMLParser):
    """Every element of a page, in order of appearance; fails on markup that does not nest."""

    page: str
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.page)
        self.close()
        assert not self.open, [element.tag for element in self.open]

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        element = Element(
            tag, {k: v or "" for k, v in attrs}, tuple(each.tag for each in self.open)
        )
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def ids(self) -> list[str]:
        return [e.attributes["id"] for e in self.elements if "id" in e.attributes]

    def cells(self, table: str) -> list[list[str]]:
        """A table's rows of cells by its id."""
        rows: list[list[str]] = []
        inside = False
        for element in self.elements:
            if element.tag == "table":
                inside = element.attributes.get("id") == table
            elif inside and element.tag == "tr":
                rows.append([])
            elif inside and element.tag in {"th", "td"}:
                rows[-1].append(element.text)
        return rows


def sound(page: str) -> Read:
    """Read a page and check what holds for every page."""
    assert page.startswith("<!DOCTYPE html>\n")
    read = Read(page)
    (root,) = read.all("html")
    assert root.attributes["lang"] == "en"
    assert {"viewport", "color-scheme"} <= {e.attributes.get("name") for e in read.all("meta")}
    _needs_nothing_else(read)
    ids = read.ids()
    assert len(set(ids)) == len(ids)
    for element in read.elements:
        for name in ("aria-labelledby", "for"):
            if name in element.attributes:
                assert element.attributes[name] in ids
    _headings(read)
    _controls(read)
    _tables(read)
    return read


def _needs_nothing_else(read: Read) -> None:
    """No script, nothing from elsewhere, every fragment there."""
    assert not read.all("script", "link", "iframe", "img", "object", "embed", "base")
    (style,) = read.all("style")
    assert "@import" not in style.text
    assert "url(" not in style.text
    ids = set(read.ids())
    for element in read.elements:
        assert not {"src", "srcset", "action"} & element.attributes.keys()
        assert not [name for name in element.attributes if name.startswith("on")]
        target = element.attributes.get("href", "#main")
        assert ":" not in target
        assert not target.startswith("/")
        if target.startswith("#"):
            assert target[1:] in ids, target
        for value in element.attributes.values():
            for part in value.split("url(#")[1:]:
                assert part.partition(")")[0] in ids


def _headings(read: Read) -> None:
    """One first, no level left out, none empty."""
    headings = read.all("h1", "h2", "h3", "h4")
    levels = [int(element.tag[1]) for element in headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(element.text.strip() for element in headings)


def _controls(read: Read) -> None:
    """Everything that scrolls or is set is reached by keyboard and has a name."""
    for element in read.all("input"):
        assert "label" in element.within
    first = read.all("a")[0]
    assert first.attributes["href"] == "#main"
    for element in read.elements:
        if element.attributes.get("class") == "scroll":
            assert element.attributes["tabindex"] == "0"
            assert element.attributes["role"] == "region"
            assert element.attributes["aria-labelledby"]
    for element in read.all("svg"):
        assert element.attributes["role"] == "img"
        assert "figure" in element.within
    assert len(read.all("figcaption")) == len(read.all("figure"))
    looks = [element.attributes["class"] for element in read.all("svg")]
    assert looks == ["wide", "narrow"] * len(read.all("figure"))


def _tables(read: Read) -> None:
    """Captions, headings with a scope, rows of one length."""
    assert len(read.all("caption")) == len(read.all("table"))
    assert all(element.text.strip() for element in read.all("caption"))
    for element in read.all("th"):
        assert element.attributes["scope"] in {"col", "row"}
    for table in read.all("table"):
        rows = read.cells(table.attributes["id"])
        assert len({len(row) for row in rows}) == 1
