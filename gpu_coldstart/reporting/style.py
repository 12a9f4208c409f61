"""How figures and pages look: colours that keep apart without colour vision, markers, canvases.

A figure is drawn once in the colours for light paper. On a page each of them is replaced by a CSS
variable, so that the same drawing follows the reader's theme; so no two names below may share a
colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from gpu_coldstart.reporting.palette import LIGHT, SERIES

__all__ = [
    "Mark",
    "grid_of_panels",
    "legend_of",
    "mark",
    "round_ticks",
    "stack",
    "styled",
    "tidy",
]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "h", ">")
_LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)

_SETTINGS = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so it measures alike anywhere
    "font.size": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "gpu_coldstart",
    "path.simplify": False,
    "text.parse_math": False,  # a country called $x$ is not a formula
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.facecolor": LIGHT["paper"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 9.0,
    "axes.titley": 1.0,  # just above; else all ticks are measured to see what is in the way
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.facecolor": LIGHT["paper"],
    "figure.edgecolor": LIGHT["paper"],
    "savefig.facecolor": LIGHT["paper"],
    "savefig.edgecolor": LIGHT["paper"],
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's own defaults and ours in place of the user's, while drawing and while saving."""
    with mpl.rc_context():
        # Figures need no particular backend, and setting one would import it.
        theirs = {k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"}
        # Its stub lists every key as a literal, which a dict of our own, keyed by str, is not.
        mpl.rcParams.update(theirs | _SETTINGS)  # type: ignore[arg-type]
        yield


@dataclass(frozen=True)
class Mark:
    """How a series looks; colour and marker together repeat only after 88 series."""

    color: str
    marker: str
    line: Any


def mark(number: int) -> Mark:
    """The look of series ``number``.

    Examples
    --------
    >>> mark(0).color == mark(SERIES).color, mark(0).marker == mark(SERIES).marker
    (True, False)
    """
    return Mark(
        LIGHT[f"series-{number % SERIES}"],
        _MARKERS[number % len(_MARKERS)],
        _LINES[number % len(_LINES)],
    )


def grid_of_panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    left: float = 0.62,
    bottom: float = 0.55,
    gaps: tuple[float, float] = (0.62, 0.72),
    top: float = 0.24,
    legend: float = 0.3,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of equal panels laid out in inches, which needs no trial drawing.

    Parameters
    ----------
    size : (width, height)
        Of a panel.
    left, bottom, top : float
        Margins around the panels.
    gaps : (between columns, between rows)
    legend : float
        Room for a legend above everything.
    """
    right = 0.15
    width = left + columns * size[0] + (columns - 1) * gaps[0] + right
    height = bottom + rows * size[1] + (rows - 1) * gaps[1] + top + legend
    figure = Figure(figsize=(width, height))
    panels = []
    for row in range(rows):
        y = height - legend - top - (row + 1) * size[1] - row * gaps[1]
        xs = [left + column * (size[0] + gaps[0]) for column in range(columns)]
        panels.append(
            [
                figure.add_axes((x / width, y / height, size[0] / width, size[1] / height))
                for x in xs
            ]
        )
    return figure, panels


def tidy(
    axes: Axes, title: str, *, x: str = "", y: str = "", lines: Literal["x", "y"] = "y"
) -> None:
    """Title, axis labels, and a light grid along ``lines`` (an axis)."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(which="both", length=0)
    axes.grid(visible=True, axis=lines)


def round_ticks(at_most: int, *, integer: bool = False) -> MaxNLocator:
    """Ticks at multiples of 1, 2 or 5 times a power of ten."""
    return MaxNLocator(at_most, steps=[1, 2, 5, 10], integer=integer)


def legend_of(
    figure: Figure, handles: Sequence[Any], columns: int, *, labels: Sequence[str] | None = None
) -> None:
    """One legend for all panels, above them; the handles' own labels unless others are given."""
    figure.legend(
        handles,
        labels or [str(handle.get_label()) for handle in handles],
        loc="upper left",
        ncols=columns,
        borderaxespad=0.4,
        handlelength=2.6,
        columnspacing=1.4,
    )


_PHONE = 3.75
"""Width of a stacked figure, in inches, which a phone shows as large as a page does a wide one."""

_BELOW, _ABOVE = 0.55, 0.24
"""Room for a panel's ticks and axis label, and for its title."""


def stack(figure: Figure) -> None:
    """Put all panels of a finished figure one below the other, in the width of a phone.

    Names of rows, which only the first panel of a row has, are given to each.
    """
    width, height = figure.get_size_inches()
    panels = sorted(figure.axes, key=lambda axes: (-axes.get_position().y0, axes.get_position().x0))
    left = min(axes.get_position().x0 for axes in panels) * width
    heights = [axes.get_position().height * height for axes in panels]
    for axes in panels:
        _name_rows(axes, next(a for a in panels if a.get_position().y0 == axes.get_position().y0))
    top = 0.0
    for legend in [*figure.legends]:
        names = [text.get_text() for text in legend.get_texts()]
        columns = 1 if max(map(len, names)) > _SHORT else 2
        top = 0.2 * -(-len(names) // columns) + 0.1
        entries = legend.legend_handles
        legend.remove()
        legend_of(figure, entries, columns, labels=names)
    whole = top + sum(heights) + len(panels) * (_BELOW + _ABOVE)
    figure.set_size_inches(_PHONE, whole)
    y = whole - top
    for axes, tall in zip(panels, heights, strict=True):
        y -= _ABOVE + tall
        axes.set_position((left / _PHONE, y / whole, 1 - (left + 0.15) / _PHONE, tall / whole))
        y -= _BELOW


_SHORT = 16
"""Letters of a name of which two fit beside each other in a stacked figure's legend."""


def _name_rows(axes: Axes, first: Axes) -> None:
    """Give a panel what stands left of the first panel of its row."""
    names = [label.get_text() for label in first.get_yticklabels()]
    fixed = isinstance(axes.yaxis.get_major_locator(), FixedLocator)
    if axes is not first and fixed and any(names):
        axes.set_yticks(first.get_yticks(), names)
        axes.tick_params(axis="y", labelcolor=axes.title.get_color())
    if not axes.get_ylabel():
        axes.set_ylabel(first.get_ylabel())
