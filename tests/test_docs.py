"""Links of the Markdown files lead somewhere, and pages that list parts have them all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from gpu_coldstart.registry import STRATEGIES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for folder in (".", "docs", "docs/tutorials", "bench", "docker", "kernels", "conda")
    for path in (ROOT / folder).glob("*.md")
)
_CODE = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its code, in which a comment may look like a heading."""
    return _CODE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub makes of the headings; those that come again get a number."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def broken(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in ("".join(groups) for groups in _LINK.findall(prose(page))):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One `two`\n## Again\n## Again\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[a](b.md#one-two) [b](b.md#again-1) [c](c.md) [d](b.md#no-heading) ![e](e.png)\n"
        '<img src="f.png"> <a href="https://example.org/no.md">g</a>\n[h]: h.md\n'
        "```\n[i](i.md)\n```\n"
    )
    assert broken(page) == ["c.md", "b.md#no-heading", "e.png", "f.png", "h.md"]


def test_every_strategy_has_a_paragraph() -> None:
    text = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+) \(`([\w-]+)`\)\n\n\w", text, re.MULTILINE)
    assert len(headings) == text.count("\n### ")
    built_in = {name: STRATEGIES.label(name) for name in STRATEGIES.builtin}
    assert {name: label for label, name in headings} == built_in
