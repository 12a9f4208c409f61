"""Plots of a campaign: times of contenders, objectives against time, stages, ratios by size."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results import Campaign, Outcome, Ratio, Result, by_size, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SIZES", "draw"]

SIZES = "sizes"
"""Names the plot of a sweep."""

_OURS, _THEIRS = "#1f6f8b", "#b8b8b8"
_ABREAST = 3


def draw(campaign: Campaign, out: Path, stem: str) -> dict[str, str]:
    """Draw every benchmark that ran into a file of its own, or the ratios of a sweep into one.

    Parameters
    ----------
    campaign : Campaign
    out : Path
        Directory of the files, which exists.
    stem : str
        First part of their names.

    Returns
    -------
    dict of str to str
        File name by benchmark; of a sweep, one under :data:`SIZES`.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    found = {}
    # The same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 9}):
        if len(campaign.scales) > 1:
            figures = {SIZES: _by_size(by_size(campaign))}
        else:
            figures = {
                result.name: _contenders(result)
                for result in campaign.results
                if any(one.seconds for one in result.outcomes)
            }
        for what, figure in figures.items():
            FigureCanvasSVG(figure)
            found[what] = f"{stem}-{what}.svg"
            figure.savefig(out / found[what], metadata={"Date": None})
    return found


def _by_size(ratios: dict[str, dict[float, Ratio]]) -> Figure:
    """A panel for each benchmark: medians and quartiles of the ratio over the scale."""
    from matplotlib.figure import Figure

    deep = max(1, -(-len(ratios) // _ABREAST))
    figure = Figure(figsize=(7, 0.4 + 1.7 * deep), layout="constrained")
    panels = figure.subplots(deep, _ABREAST, squeeze=False, sharex=True, sharey=True).flat
    for (name, by_scale), axes in zip(ratios.items(), panels, strict=False):
        spreads = [found.spread for found in by_scale.values()]
        medians = [s.median for s in spreads]
        quartiles = [
            [s.median - s.first for s in spreads],
            [s.third - s.median for s in spreads],
        ]
        axes.axhline(1, color=_THEIRS)
        axes.errorbar(
            list(by_scale), medians, yerr=quartiles, color=_OURS, marker="o", markersize=3
        )
        axes.set(title=name, xscale="log", yscale="log")
    for axes in list(panels)[len(ratios) :]:
        axes.set_axis_off()
    figure.supxlabel("scale")
    figure.supylabel("our time over the best rival's")
    return figure


def _contenders(result: Result) -> Figure:
    """Times of everybody, and the objective against them where it was followed."""
    from matplotlib.figure import Figure

    ran = [one for one in result.outcomes if one.seconds]
    traced = [one for one in ran if one.trace]
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(ran) + 2.4 * bool(traced)), layout="constrained")
    axes = figure.subplots(1 + bool(traced), 1, squeeze=False)[:, 0]
    _bars(axes[0], result, ran)
    if traced:
        _curves(axes[1], traced)
    return figure


def _bars(axes: Any, result: Result, ran: list[Outcome]) -> None:
    """Median times with whiskers from the least to the most; stages side by side, where told."""
    places = range(len(ran))
    spreads = [spread(one.seconds) for one in ran]
    medians = [s.median for s in spreads]
    if any(one.parts for one in ran):
        _stacked(axes, ran)
    else:
        colors = [_OURS if one.ours else _THEIRS for one in ran]
        axes.barh(places, medians, color=colors)
    whiskers = [
        [s.median - s.low for s in spreads],
        [s.high - s.median for s in spreads],
    ]
    axes.errorbar(medians, places, xerr=whiskers, fmt="none", ecolor="black", capsize=2)
    labels = [f"{one.name} ({one.verdict})" if one.verdict == "worse" else one.name for one in ran]
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(result.name)


def _stacked(axes: Any, ran: list[Outcome]) -> None:
    """The stages that take most, and the rest as one."""
    medians = [
        {name: statistics.median([p.get(name, 0.0) for p in one.parts]) for name in one.parts[0]}
        for one in ran
    ]
    weight: dict[str, float] = {}
    for of_one in medians:
        for name, seconds in of_one.items():
            weight[name] = weight.get(name, 0.0) + seconds
    named = sorted(weight, key=lambda name: -weight[name])[:7]
    left = [0.0] * len(ran)
    for name in named:
        widths = [of_one.get(name, 0.0) for of_one in medians]
        axes.barh(range(len(ran)), widths, left=left, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    rest = [
        max(0.0, statistics.median(one.seconds) - start)
        for one, start in zip(ran, left, strict=True)
    ]
    axes.barh(range(len(ran)), rest, left=left, label="the rest", color=_THEIRS)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _curves(axes: Any, traced: list[Outcome]) -> None:
    """The objective against time."""
    for one in traced:
        seconds, values = zip(*one.trace, strict=True)
        axes.plot(seconds, values, marker="o", markersize=3, label=one.name)
    axes.set_xlabel("seconds")
    axes.set_ylabel("objective")
    axes.legend()
