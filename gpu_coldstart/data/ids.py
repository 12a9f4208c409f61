"""Ids as data sets have them, integers or strings, and the int64 that stand for them inside.

Users, tracks, artists, albums and playlists each have an id space. An integer stands for itself. A
string is represented by its position among the sorted strings of its space, so the smaller of two
ids is the one that sorts first (by code point), and everything downstream works with int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.engine.types import HostArray

__all__ = ["KINDS", "Ids", "Vocabulary", "as_text", "is_integer", "is_string"]

KINDS = ("user", "track", "artist", "album", "playlist")
"""The id spaces."""

_INTEGER = "^(0|-?[1-9][0-9]*)$"


def is_string(dtype: pa.DataType) -> bool:
    """Whether Arrow columns of this type hold strings, dictionary-encoded or not."""
    types = pa.types
    plain = dtype.value_type if types.is_dictionary(dtype) else dtype
    return any(is_(plain) for is_ in (types.is_string, types.is_large_string, types.is_string_view))


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Strings of any type, or integers as their digits, as ``large_string``."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_string())


def is_integer(texts: pa.Array | pa.ChunkedArray) -> HostArray:
    """Mask of the strings that write an int64 in the one way there is: 007 is another id than 7.

    Parameters
    ----------
    texts : pyarrow.Array or pyarrow.ChunkedArray
        Strings of any type, without nulls.

    Examples
    --------
    >>> is_integer(pa.array(["7", "007", "0x1F", "-5", "9" * 19])).tolist()
    [True, False, False, True, False]
    """
    texts = as_text(texts)
    whole = np.array(pc.match_substring_regex(texts, _INTEGER), bool)
    try:
        texts.filter(pa.array(whole)).cast(pa.int64())
    except pa.ArrowInvalid:  # digits beyond int64
        for row in np.flatnonzero(whole):
            whole[row] = -(2**63) <= int(texts[int(row)].as_py()) < 2**63
    return whole


@dataclass(frozen=True)
class Vocabulary:
    """Strings, one after another, in host memory.

    Attributes
    ----------
    text : HostArray [bytes] of uint8
        UTF-8.
    offsets : HostArray [n + 1] of int64
        Where each string starts in ``text``, and where the last one ends.
    """

    text: HostArray = field(default_factory=lambda: np.zeros(0, np.uint8))
    offsets: HostArray = field(default_factory=lambda: np.zeros(1, np.int64))

    @classmethod
    def of(cls, words: pa.Array | pa.ChunkedArray) -> Vocabulary:
        """These strings, in this order."""
        words = as_text(words)
        if isinstance(words, pa.ChunkedArray):
            words = words.combine_chunks()
        lengths = pc.binary_length(words).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        content = words.buffers()[2]
        if content is None:
            return cls(offsets=offsets)
        first = int(np.frombuffer(words.buffers()[1], np.int64)[words.offset])
        text = np.frombuffer(content, np.uint8)[first : first + int(offsets[-1])]
        return cls(text.copy(), offsets)

    def __len__(self) -> int:
        """Number of strings."""
        return len(self.offsets) - 1

    @property
    def words(self) -> pa.Array:
        """The strings as an Arrow array of ``large_string``."""
        buffers = (pa.py_buffer(np.ascontiguousarray(part)) for part in (self.offsets, self.text))
        return pa.Array.from_buffers(pa.large_string(), len(self), [None, *buffers])


@dataclass(frozen=True)
class Ids:
    """The id spaces of a data set.

    Attributes
    ----------
    user, track, artist, album, playlist : Vocabulary
        The distinct ids of a space of strings, sorted; empty for a space of integers.
    strings : tuple of str
        The spaces whose ids are strings.
    unowned : tuple of str
        The spaces of which no table says what ids there are, so that all are unknown.
    """

    user: Vocabulary = field(default_factory=Vocabulary)
    track: Vocabulary = field(default_factory=Vocabulary)
    artist: Vocabulary = field(default_factory=Vocabulary)
    album: Vocabulary = field(default_factory=Vocabulary)
    playlist: Vocabulary = field(default_factory=Vocabulary)
    strings: tuple[str, ...] = ()
    unowned: tuple[str, ...] = ()

    def without(self, kind: str) -> Ids:
        """The other spaces' ids; those of ``kind`` as if they were integers."""
        empty: dict[str, Any] = {kind: Vocabulary()}
        strings = tuple(other for other in self.strings if other != kind)
        return replace(self, **empty, strings=strings)

    def words(self, kind: str) -> pa.Array | None:
        """The sorted strings of a space; None for a space of integers."""
        vocabulary: Vocabulary = getattr(self, kind)
        return vocabulary.words if kind in self.strings else None

    def names(self, kind: str, codes: HostArray) -> pa.Array:
        """Ids as the data set has them.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        codes : HostArray of int64
            Of known ids; read row by row where it has several dimensions.

        Returns
        -------
        pyarrow.Array of int64 or string
        """
        flat = pa.array(np.asarray(codes).ravel())
        words = self.words(kind)
        return flat if words is None else words.take(flat).cast(pa.string())

    def codes(self, kind: str, ids: pa.Array | pa.ChunkedArray) -> HostArray:
        """The int64 that stand for ids.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        ids : pyarrow.Array or pyarrow.ChunkedArray
            Without nulls. A space of integers also takes strings of digits, a space of strings
            also takes integers, as their digits, and a space that nothing owns takes either.

        Returns
        -------
        HostArray of int64
            In a space of strings, and in one that nothing owns, -1 stands for an unknown id.

        Raises
        ------
        ValueError
            For text that is no integer (:func:`is_integer`) in a space of integers.
        """
        if kind in self.unowned:
            return np.full(len(ids), -1, np.int64)
        words = self.words(kind)
        if words is None and is_string(ids.type):
            if not is_integer(ids).all():
                raise ValueError(f"{kind} ids are integers")
            ids = as_text(ids)
        if words is None:
            return np.asarray(ids.cast(pa.int64()))
        places = pc.index_in(as_text(ids), value_set=words)
        return np.asarray(places.fill_null(-1).cast(pa.int64()))
