"""Lists of numbers that are stored as text, parsed by the million.

What pandas and NumPy print is a list: ``[0.1, -2e-3]``, or ``[ 0.1 -2.e-03]`` over several lines.
Nothing else is: no other bracket, no list in a list, no word such as ``nan``, and no comma but one
behind each number but the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Ints", "Parsed", "owner", "parse"]

Ints: TypeAlias = npt.NDArray[np.int64]
_Numbers: TypeAlias = npt.NDArray[Any]

_AT_A_TIME = 1 << 24  # bytes of text; each takes about ten more on the way
_SHOWN = 40  # letters of a bad list in an error

_SPACE, _NUMBER, _COMMA, _OPEN, _CLOSE = range(1, 6)
_CLASS = np.zeros(256, dtype=np.uint8)
_CLASS[list(b" \n\r\t")] = _SPACE
_CLASS[list(b"0123456789+-.eE")] = _NUMBER
_CLASS[ord(",")], _CLASS[ord("[")], _CLASS[ord("]")] = _COMMA, _OPEN, _CLOSE
"""What each byte is part of; 0 is part of no list."""


class Parsed(NamedTuple):
    """Some lists, or a text that is not a list.

    Attributes
    ----------
    row : int
        Row of the first list, or of the text that is not one.
    lengths : array [n] of int64
        Numbers in each.
    values : array [entries] of int64 or float64
        The numbers of all, one list after another.
    bad : str or None
        The beginning of the text that is not a list.
    """

    row: int
    lengths: Ints
    values: _Numbers
    bad: str | None = None


def parse(texts: Any, *, whole: bool) -> Iterator[Parsed]:
    """Parse an Arrow array of texts without nulls, some megabytes at a time.

    Parameters
    ----------
    texts : array of strings, of bytes, or of Arrow's JSON type
    whole : bool
        Whether numbers are taken for int64, and for float64 only if some are not; else they are
        float64.

    Examples
    --------
    >>> lists, bad = next(parse(pa.array(["[1, 2]", "[]"]), whole=True)), next(
    ...     parse(pa.array(["[1, 2]", "[1 and 2]"]), whole=True)
    ... )
    >>> lists.lengths.tolist(), lists.values.tolist(), bad.row, bad.bad
    ([2, 0], [1, 2], 1, '[1 and 2]')
    """
    storage = texts.storage if isinstance(texts, pa.ExtensionArray) else texts
    storage = storage.cast(pa.large_binary())
    _, offset_buffer, data_buffer = storage.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)
    offsets = offsets[storage.offset : storage.offset + len(storage) + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    start = 0
    while start < len(storage):
        end = int(np.searchsorted(offsets, offsets[start] + _AT_A_TIME, side="right")) - 1
        end = max(end, start + 1)
        text = data[offsets[start] : offsets[end]]
        bounds = offsets[start : end + 1] - offsets[start]
        lengths, values, bad = _numbers(text, bounds, whole=whole)
        if bad is not None:
            begin = text[bounds[bad] : min(bounds[bad + 1], bounds[bad] + _SHOWN)]
            shown = begin.tobytes().decode(errors="replace")
            yield Parsed(start + bad, lengths, values, shown)
            return
        yield Parsed(start, lengths, values)
        start = end


def owner(lengths: Ints, entry: int) -> int:
    """The list that has the entry of that place among the entries of all lists.

    Examples
    --------
    >>> owner(np.array([2, 0, 1]), 2)
    2
    """
    return int(np.searchsorted(np.cumsum(lengths), entry, side="right"))


def _numbers(
    text: npt.NDArray[np.uint8], bounds: Ints, *, whole: bool
) -> tuple[Ints, _Numbers, int | None]:
    """Lengths and numbers of the lists between ``bounds`` [n + 1], or the place of a bad one."""
    nothing = np.zeros(0, dtype=np.int64)
    kinds = _CLASS[text]
    number = kinds == _NUMBER
    bad = _bad_brackets(kinds, bounds)
    if bad.any():
        return nothing, nothing, int(np.argmax(bad))
    # Every text ends with a bracket, so none of these numbers goes on into the next text.
    edges = np.flatnonzero(number[1:] != number[:-1]) + 1
    lengths = _count(edges[::2], bounds)
    bad = _bad_commas(kinds, bounds, lengths)
    if bad.any():
        return nothing, nothing, int(np.argmax(bad))
    offsets = np.concatenate([[0], np.cumsum(edges[1::2] - edges[::2])])
    tokens = pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text[number])
    )
    values = _cast(tokens, pa.int64()) if whole else None
    if values is None:
        values = _cast(tokens, pa.float64())
    if values is None:
        return nothing, nothing, owner(lengths, _first_unfit(tokens))
    return lengths, values, None


def _bad_brackets(kinds: npt.NDArray[np.uint8], bounds: Ints) -> npt.NDArray[np.bool_]:
    """Mask of the texts that are not one pair of brackets around bytes that lists are made of."""
    starts, ends = bounds[:-1], bounds[1:]
    bad: npt.NDArray[np.bool_] = ends - starts < 2
    if bad.any():
        return bad
    bad |= (kinds[starts] != _OPEN) | (kinds[ends - 1] != _CLOSE)
    bad |= _count(np.flatnonzero(kinds >= _OPEN), bounds) != 2
    bad |= _count(np.flatnonzero(kinds == 0), bounds) > 0
    return bad


def _bad_commas(kinds: npt.NDArray[np.uint8], bounds: Ints, lengths: Ints) -> npt.NDArray[np.bool_]:
    """Mask of the texts with commas, but not one behind each number but the last."""
    commas = np.flatnonzero(kinds == _COMMA)
    n_commas = _count(commas, bounds)
    # With as many commas as places for them, each behind a number and none behind the last, every
    # place has one.
    to_the_end = kinds[bounds[1:] - 2] == _NUMBER
    bad: npt.NDArray[np.bool_] = (n_commas > 0) & ((n_commas != lengths - 1) | ~to_the_end)
    bad |= _count(commas[kinds[commas - 1] != _NUMBER], bounds) > 0
    return bad


def _count(places: Ints, bounds: Ints) -> Ints:
    """How many of some ascending places lie between each two bounds [n]."""
    return np.diff(np.searchsorted(places, bounds))


def _cast(tokens: Any, dtype: Any) -> _Numbers | None:
    """The numbers, or None when a token is not of that type."""
    try:
        values: _Numbers = tokens.cast(dtype).to_numpy()
    except pa.ArrowInvalid:
        return None
    return values


def _first_unfit(tokens: Any) -> int:
    """Index of the first token that is not a number; there must be one."""
    low, high = 0, len(tokens)
    while high - low > 1:
        middle = (low + high) // 2
        if _cast(tokens[low:middle], pa.float64()) is None:
            high = middle
        else:
            low = middle
    return low
