"""Names out of the data, made fit for files that people open: pages, figures, spreadsheets."""

from __future__ import annotations

import re

__all__ = ["printable", "spreadsheet_safe", "visible"]

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""What XML cannot hold, what no reader would see, and what turns the text after it around; line
feeds and tabs are fine."""

_TEXT = re.compile(r"[^\udc80-\udcff]+")
"""All but the bytes of file names that are not UTF-8, as Python has them."""

_FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""How a cell begins that a spreadsheet would take for a formula."""


def visible(text: str) -> str:
    r"""Text with a visible sign in place of each control character.

    Examples
    --------
    >>> visible("a\x00b\x1b[31m\x9f")
    'a␀b␛[31m�'
    """
    return _CONTROL.sub(lambda match: _sign(match.group()), text)


def printable(text: str) -> str:
    """Text for a terminal or a log: visible, but for the bytes of file names that are not UTF-8."""
    return _TEXT.sub(lambda match: visible(match.group()), text)


def _sign(character: str) -> str:
    """The picture of a control character, or the replacement character where there is none."""
    code = ord(character)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


def spreadsheet_safe(text: str) -> str:
    """Text of a CSV cell that no spreadsheet takes for a formula: an apostrophe goes before it.

    Examples
    --------
    >>> spreadsheet_safe("=1+1"), spreadsheet_safe("Brazil")
    ("'=1+1", 'Brazil')
    """
    text = visible(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
