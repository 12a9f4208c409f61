"""The figures: from a table of the evaluation to a drawing.

Each kind of figure is a function from its table (columns as in
:data:`gpu_coldstart.evaluation.tables.SCHEMAS`, for ``trials`` as in
:func:`gpu_coldstart.tuning.page.drawn_from`, for ``runs`` as in
:data:`gpu_coldstart.reporting.comparison.COLUMNS`) to drawings, none where the table is empty.
Colour is never the only sign: a series has its own marker and line, and the table is shown with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.figures.common import Drawing
from gpu_coldstart.reporting.figures.quality import comparisons, results, runs, strata
from gpu_coldstart.reporting.figures.ranks import ranks
from gpu_coldstart.reporting.figures.shown import discovery, exposure, replay
from gpu_coldstart.reporting.figures.sizes import sizes
from gpu_coldstart.reporting.figures.training import blends, calibration, learning
from gpu_coldstart.reporting.figures.trials import trials
from gpu_coldstart.reporting.rows import Line, lines_of

__all__ = ["Drawing", "drawings"]

_FIGURES: dict[str, Callable[[list[Line]], Iterator[Drawing]]] = {
    "sizes": sizes,
    "results": results,
    "comparisons": comparisons,
    "strata": strata,
    "exposure": exposure,
    "discovery": discovery,
    "replay": replay,
    "calibration": calibration,
    "learning": learning,
    "blends": blends,
    "benchmark": ranks,
    "runs": runs,
    "trials": trials,
}
"""Keyed by the table that each is drawn from."""


def drawings(tables: Mapping[str, Table]) -> Iterator[Drawing]:
    """Every figure that the tables give, in the order of the page.

    To be called, and its figures saved, within :func:`gpu_coldstart.reporting.style.styled`.
    """
    for name, draw in _FIGURES.items():
        lines = lines_of(tables.get(name, {}))
        if lines:
            yield from draw(lines)
