"""All figures of a run, drawn: files, and pictures for the page."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.reporting.blocks import Drawn, Picture
from gpu_coldstart.reporting.figures import drawings
from gpu_coldstart.reporting.style import stack, styled
from gpu_coldstart.reporting.svg import inline, png_bytes, svg_bytes
from gpu_coldstart.runs import paths

__all__ = ["draw"]


def draw(tables: Mapping[str, Table]) -> dict[str, list[Drawn]]:
    """Draw what there is to draw, for the page in two widths, of which it shows one.

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
            title = drawing.title
            wide = inline(svg, name, title, look="wide")
            stack(drawing.figure)
            narrow = inline(svg_bytes(drawing.figure), f"{name}-narrow", title, look="narrow")
            picture = Picture(name, wide + narrow, f"{title}. {drawing.caption}", tuple(files))
            by_table.setdefault(drawing.table, []).append(Drawn(files, picture))
    return by_table
