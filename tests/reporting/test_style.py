"""Colours that can be told apart, and drawing that leaves no trace."""

from __future__ import annotations

import re

import matplotlib as mpl
import pytest

from gpu_coldstart.reporting.blocks import Section
from gpu_coldstart.reporting.page import page
from gpu_coldstart.reporting.palette import DARK, LIGHT, SERIES
from gpu_coldstart.reporting.style import mark, styled


def themes() -> dict[str, dict[str, str]]:
    """The variables of each theme, out of a page's style sheet."""
    text = page("t", "l", [Section("s", "S", [])]).decode()
    found: dict[str, dict[str, str]] = {}
    for scheme, body in re.findall(r":has\(#theme-(\w+):checked\) \{([^}]*)\}", text):
        found.setdefault(scheme, dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", body)))
    return found


def luminance(color: str) -> float:
    """WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_it_should_be() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_series_stand_out(scheme: str) -> None:
    colors = themes()[scheme]
    for name in ("ink", "muted", "link", "warning"):
        assert contrast(colors[name], colors["paper"]) >= 4.5, name
    for number in range(SERIES):
        assert contrast(colors[f"series-{number}"], colors["paper"]) >= 3, number


def test_a_color_is_one_variable() -> None:
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert LIGHT.keys() == DARK.keys()
    assert themes()["light"].keys() == themes()["dark"].keys()


def test_color_is_never_the_only_sign() -> None:
    marks = [mark(number) for number in range(88)]
    assert len({(m.color, m.marker) for m in marks}) == 88
    first = marks[:SERIES]
    assert len({m.marker for m in first}) == len({m.color for m in first}) == SERIES
    assert len({(m.marker, str(m.line)) for m in marks[:55]}) == 55


def test_settings_are_given_back() -> None:
    before = dict(mpl.rcParams)
    with styled():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert dict(mpl.rcParams) == before
