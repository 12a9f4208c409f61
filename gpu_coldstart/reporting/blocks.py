"""What a page is made of: sections of paragraphs, tables and pictures; and written numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Drawn",
    "Fold",
    "Grid",
    "Picture",
    "Section",
    "Text",
    "counted",
    "interval",
    "listed",
    "number",
    "p_value",
    "percent",
    "setting_text",
    "without_gaps",
]

MINUS = "\N{MINUS SIGN}"
NOT_KNOWN = "\N{EN DASH}"


@dataclass(frozen=True)
class Text:
    """A paragraph; plain text."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes
    ----------
    id : str
        Different for every table of a page.
    caption : str
    columns : sequence of str
    rows : sequence of sequences of str
        Cells; the first of each row is its heading.
    words : set of int
        Columns of words, set to the left; the others are numbers. The first always is one.
    file : str
        Where all of it is, relative to the page.
    bars : mapping of int to sequence of (from, to)
        Columns of numbers that are shown as bars too, and where each row's begins and ends, as
        shares of the column's width.
    """

    kind: ClassVar = "grid"
    id: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset()
    file: str = ""
    bars: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A figure: its markup, what it shows, and the files that hold it too."""

    kind: ClassVar = "picture"
    id: str
    markup: str
    caption: str
    files: Sequence[str]


@dataclass(frozen=True)
class Drawn:
    """A figure as files by name, and as a part of a page."""

    files: Mapping[str, bytes]
    picture: Picture


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown when asked for."""

    kind: ClassVar = "fold"
    summary: str
    blocks: Sequence[Text | Grid]


@dataclass(frozen=True)
class Card:
    """One of several things of a kind: what is said of it, and a list.

    Attributes
    ----------
    title : str
    facts : sequence of (what, text)
    items : sequence of (text, bool)
        In order; those that are True are ticked.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    items: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Cards:
    """Cards side by side, as many as there is room for."""

    kind: ClassVar = "cards"
    cards: Sequence[Card]


Block: TypeAlias = Text | Grid | Picture | Fold | Cards


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    id: str
    title: str
    blocks: Sequence[Block]


def without_gaps(grid: Grid) -> Grid:
    """The table without columns that say nothing in any row.

    Examples
    --------
    >>> grid = Grid("one", "One", ("who", "age", "country"), [("me", NOT_KNOWN, "FR")], {1, 2})
    >>> without_gaps(grid).columns, without_gaps(grid).words
    (['who', 'country'], frozenset({1}))
    """
    filled = [
        place
        for place in range(len(grid.columns))
        if not place or any(row[place] not in {"", NOT_KNOWN} for row in grid.rows)
    ]
    return replace(
        grid,
        columns=[grid.columns[place] for place in filled],
        rows=[[row[place] for place in filled] for row in grid.rows],
        words=frozenset(new for new, old in enumerate(filled) if old in grid.words),
    )


def number(value: float | None, digits: int) -> str:
    """A number with so many digits behind the point, or a dash.

    Examples
    --------
    >>> number(-0.1234, 2), number(None, 2), number(-0.001, 2)
    ('\N{MINUS SIGN}0.12', '\N{EN DASH}', '0.00')
    """
    if value is None:
        return NOT_KNOWN
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction in per cent.

    Examples
    --------
    >>> percent(0.12345), percent(0.01, sign=True)
    ('12.35', '+1.00')
    """
    if fraction is None:
        return NOT_KNOWN
    text = number(100 * fraction, 2)
    return f"+{text}" if sign and not text.startswith(MINUS) and float(text) else text


def interval(low: float | None, high: float | None) -> str:
    """An interval of fractions, in per cent.

    Examples
    --------
    >>> interval(0.1, 0.2)
    '[10.00, 20.00]'
    """
    return NOT_KNOWN if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def p_value(p: float | None) -> str:
    """A p, in full only where that says something.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '< 0.001', '\N{EN DASH}')
    """
    if p is None:
        return NOT_KNOWN
    return "< 0.001" if p < 0.001 else number(p, 3)


def counted(number: int, word: str) -> str:
    """So many of something.

    Examples
    --------
    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number} {word}{'s' if number != 1 else ''}"


def setting_text(value: Any) -> str:
    """A setting's value about as TOML has it, or a dash for none.

    Examples
    --------
    >>> setting_text([10, 50]), setting_text(True), setting_text(None)
    ('10, 50', 'true', '\N{EN DASH}')
    """
    if value is None:
        return NOT_KNOWN
    if isinstance(value, list | tuple):
        return ", ".join(map(setting_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(items: Iterable[object]) -> str:
    """Items with commas, or a dash for none."""
    return ", ".join(map(str, items)) or NOT_KNOWN
