"""What the words of a report mean: strategies, spaces and measures, for its glossary and on hover.

Strategies and spaces are explained by the first paragraph of their classes' own docstrings,
installed ones too; the measures are defined at length in ``docs/measures.md``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from gpu_coldstart.registry import SPACES, STRATEGIES, Registry
from gpu_coldstart.reporting.blocks import Grid, Section
from gpu_coldstart.reporting.labels import MEASURE_LABELS

__all__ = ["MEASURES", "glossary", "meanings", "terms"]

MEASURES = {
    MEASURE_LABELS["precision"]: "Hits among the first K tracks, over the most there can be: K, or "
    "the tracks to be found where these are fewer. The paper's, not the textbook's.",
    MEASURE_LABELS["recall"]: "Hits among the first K tracks, over all tracks to be found.",
    MEASURE_LABELS["ndcg"]: "Hits weighted by 1 / log2(place + 1), over the weights of a list that "
    "has all its hits first.",
    MEASURE_LABELS["textbook_precision"]: "Hits among the first K tracks, over K.",
    MEASURE_LABELS["map"]: "Precision at the place of each hit, added up and divided by the most "
    "hits there can be.",
    MEASURE_LABELS["mrr"]: "1 over the place of the first hit, 0 without one.",
    MEASURE_LABELS["hit_rate"]: "Share of the users who have a hit at all.",
    "±": "Standard deviation of the means over disjoint parts of the test users.",
    "95 % interval": "Of the mean over users, by drawing as many users again and again "
    "(percentile bootstrap).",
    "p Holm": "How likely a difference as large would be by chance (Wilcoxon's signed-rank test, "
    "user by user), adjusted by Holm for all pairs and measures.",
    "coverage": "Share of the catalogue that is recommended to anybody.",
    "Gini": "Inequality between tracks: 0 where all are recommended equally often, near 1 where a "
    "few get all places.",
    "novelty": "Mean over places of -log2 of the share of warm users who streamed the track, in "
    "bits; higher is less popular.",
}
"""Meanings of measures, as they are called in tables."""


def glossary(strategies: Iterable[str], spaces: Iterable[str]) -> Section:
    """The glossary of a page about some strategies and spaces, by their names."""
    heads, words = ("term", "meaning"), frozenset({1})
    grids = {
        "Strategies": meanings(STRATEGIES, strategies),
        "Spaces": meanings(SPACES, spaces),
        "Measures": MEASURES,
    }
    blocks = [
        Grid(f"glossary-{title.lower()}", title, heads, [*known.items()], words)
        for title, known in grids.items()
        if known
    ]
    return Section("glossary", "Glossary", blocks)


def terms(strategies: Iterable[str], spaces: Iterable[str]) -> dict[str, str]:
    """The same as one mapping from term to meaning, to be shown on hover."""
    return {**meanings(STRATEGIES, strategies), **meanings(SPACES, spaces), **MEASURES}


def meanings(registry: Registry, names: Iterable[str]) -> Mapping[str, str]:
    """What classes say of themselves, by label; those that say nothing are left out.

    Examples
    --------
    >>> meanings(STRATEGIES, ["input-features", "not-installed"])
    {'Input Features Clustering': 'Popular tracks of the warm users whose input vectors are alike.'}
    """
    known = {name: _summary(registry.get(name)) for name in names if name in registry.names()}
    return {registry.label(name): text for name, text in known.items() if text}


def _summary(part: Any) -> str:
    """The first paragraph of a class's own docstring, in plain text."""
    first = inspect.cleandoc(part.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.replace("``", "").split())
