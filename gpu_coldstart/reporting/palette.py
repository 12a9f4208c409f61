"""Colours by the name of their CSS variable, for light and for dark paper."""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "SERIES"]

SERIES = 8
"""Colours for series; more than that repeat colours with other markers."""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2127",
    "muted": "#57606a",
    "rule": "#d5d9de",
    "series-0": "#5b6470",
    "series-1": "#0a6fb0",
    "series-2": "#a86400",
    "series-3": "#b3418e",
    "series-4": "#c8500a",
    "series-5": "#087f5b",
    "series-6": "#6d4bc2",
    "series-7": "#8a1f2d",
}
"""Colours on light paper by the name of their CSS variable. Text has a contrast of 4.5 or more with
the paper, series have one of 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""

DARK = {
    "paper": "#15191f",
    "ink": "#e8ebef",
    "muted": "#a3adb9",
    "rule": "#39414b",
    "series-0": "#aab4c0",
    "series-1": "#5cb3ee",
    "series-2": "#e0a83a",
    "series-3": "#e48fc6",
    "series-4": "#ff915a",
    "series-5": "#3ccb9c",
    "series-6": "#b39cf5",
    "series-7": "#f08593",
}
"""The same on dark paper."""
