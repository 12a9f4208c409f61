"""Figures as files, the same bytes each time, and as parts of a page that follow its theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

from matplotlib.figure import Figure

from gpu_coldstart.reporting.palette import LIGHT

__all__ = ["inline", "png_bytes", "svg_bytes"]

_DPI = 150
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOR = re.compile("|".join(LIGHT.values()))
_VARIABLES = {color: f"var(--{name})" for name, color in LIGHT.items()}
_FONT = re.compile(r"font-family: [^;]*;? ?")


def svg_bytes(figure: Figure) -> bytes:
    """A figure as SVG with text as text; to be called within ``styled()``."""
    sink = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with _any_script():
        figure.savefig(sink, format="svg", metadata=nothing)
    return sink.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG; to be called within ``styled()``."""
    sink = io.BytesIO()
    with _any_script():
        figure.savefig(sink, format="png", dpi=_DPI, metadata={"Software": None})
    return sink.getvalue()


@contextmanager
def _any_script() -> Iterator[None]:
    """Draw names in scripts that the font lacks as boxes: the tables have them in full."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"Glyph \d+ .* missing from", category=UserWarning
        )
        yield


def inline(svg: bytes, name: str, title: str, *, look: str) -> str:
    """A figure's SVG as an element of a page.

    Colours become the page's variables, ids are made unique by ``name``, unused ids and
    everything but the drawing are left out, and the picture is named for screen readers.

    Parameters
    ----------
    svg : bytes
        Of :func:`svg_bytes`.
    name : str
        Different for every figure of the page.
    title : str
        What a screen reader says.
    look : str
        Its class in the style sheet.

    Returns
    -------
    str
        Markup; ``title`` is escaped in it.
    """
    root = ElementTree.fromstring(svg)
    _strip(root)
    referred = _referred(root)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        place = element.attrib.pop("id", None)
        if place in referred:
            element.set("id", f"{name}-{place}")
        target = element.attrib.pop(_LINK, None)
        if target is not None:
            element.set("href", f"#{name}-{target[1:]}")
        for key, value in element.attrib.items():
            element.set(key, _themed(value, name))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"class": look, "role": "img", "aria-labelledby": f"{name}-title"}
    label = ElementTree.Element("title", {"id": f"{name}-title"})
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode")


def _strip(root: ElementTree.Element) -> None:
    """Leave out metadata, the style sheet (it would hold for the whole page) and indentation."""
    for child in [*root]:
        if child.tag == f"{_SVG}metadata" or child.find(f"{_SVG}style") is not None:
            root.remove(child)
    for element in root.iter():
        element.tail = None
        if element.tag not in {f"{_SVG}text", f"{_SVG}tspan"}:
            element.text = None
        path = element.get("d")
        if path is not None:
            element.set("d", " ".join(path.split()))


def _referred(root: ElementTree.Element) -> set[str]:
    """Ids that something in the drawing refers to."""
    ids = set()
    for element in root.iter():
        if _LINK in element.attrib:
            ids.add(element.attrib[_LINK][1:])
        for value in element.attrib.values():
            ids |= set(_REFERENCE.findall(value))
    return ids


def _themed(value: str, name: str) -> str:
    """An attribute with the page's ids, font and colours."""
    value = _FONT.sub("", _REFERENCE.sub(rf"url(#{name}-\1)", value))
    return _COLOR.sub(lambda match: _VARIABLES[match.group()], value)
