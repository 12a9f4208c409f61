"""All figures of a run, drawn: files, and pictures for the page."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Drawn, Picture
from gpu_coldstart.reporting.figures import drawings
from gpu_coldstart.reporting.style import styled
from gpu_coldstart.reporting.svg import inline, png_bytes, svg_bytes
from gpu_coldstart.runs import paths

__all__ = ["draw"]


def draw(tables: Mapping[str, Table]) -> dict[str, list[Drawn]]:
    """Draw what there is to draw.

    Returns
    -------
    dict
        From the name of a table to its figures; the same tables give the same bytes.
    """
    by_table: dict[str, list[Drawn]] = {}
    with styled():
        for drawing in drawings(tables):
            svg = svg_bytes(drawing.figure)
            files = {
                paths.figure(drawing.name, "svg"): svg,
                paths.figure(drawing.name, "png"): png_bytes(drawing.figure),
            }
            name = f"figure-{drawing.name}"
            markup = inline(svg, name, drawing.title)
            picture = Picture(name, markup, f"{drawing.title}. {drawing.caption}", tuple(files))
            by_table.setdefault(drawing.table, []).append(Drawn(files, picture))
    return by_table
