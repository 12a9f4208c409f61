"""Sections as one HTML page that needs nothing but itself: no script, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from gpu_coldstart.reporting.blocks import Section
from gpu_coldstart.reporting.palette import DARK, LIGHT
from gpu_coldstart.runs.names import visible

__all__ = ["PAGE_DARK", "PAGE_LIGHT", "page"]

PAGE_LIGHT = LIGHT | {"link": "#0a5ea8", "warning": "#9a3b00"}
PAGE_DARK = DARK | {"link": "#7cc0f7", "warning": "#ffb27a"}
"""Colours of a page by CSS variable: a figure's, and those of text that figures lack."""


def page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    verdict: Sequence[str] = (),
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    beside: Sequence[str] = (),
    terms: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """A page as UTF-8, without control characters.

    Parameters
    ----------
    title, lead : str
        Heading and the line below it.
    sections : sequence of Section
    verdict, warnings, notes : sequence of str
        What comes before everything else: what came of it, what to mind, what else to know.
    beside : sequence of str
        Files to point to, relative to the page.
    terms : mapping of term to meaning
        Shown on hover in the heads of tables, where a term may be followed by ``@K``, and in
        columns of strategies and spaces.
    """
    text = _template().render(
        title=title,
        lead=lead,
        sections=sections,
        verdict=verdict,
        warnings=warnings,
        notes=notes,
        files=beside,
        terms=terms,
        css=_style(),
    )
    return (visible(text) + "\n").encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("gpu_coldstart.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2")


@cache
def _style() -> str:
    """The style sheet; the theme is the system's unless the reader picks one."""
    rules = files("gpu_coldstart.reporting").joinpath("page.css").read_text("utf-8")
    light, dark = _theme("light", PAGE_LIGHT), _theme("dark", PAGE_DARK)
    return (
        f":root {{{_theme('light dark', PAGE_LIGHT)}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{{_theme('light dark', PAGE_DARK)}}} }}\n"
        f":root:has(#theme-light:checked) {{{light}}}\n"
        f":root:has(#theme-dark:checked) {{{dark}}}\n"
        f"{rules}\n"
        f"@media print {{ :root, :root:has(#theme-dark:checked) {{{light}}} }}"
    )


def _theme(scheme: str, colors: Mapping[str, str]) -> str:
    variables = "".join(f" --{name}: {color};" for name, color in colors.items())
    return f" color-scheme: {scheme};{variables} "
