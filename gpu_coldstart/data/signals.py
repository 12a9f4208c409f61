"""The names and the order of the input vector's parts (3.2.2).

The vector is 20 blocks of d and then 19 scalars; it is 2579 wide for d = 128 and 5139 for
d = 256. The first two blocks are age and country, the other 18 are signals: an action of the
registration day on a kind of entity. The scalars come in an order of their own, that of the
public release.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BLOCKS",
    "SCALARS",
    "SCALAR_SIGNALS",
    "SIGNALS",
    "Signal",
    "signal_place",
    "width",
]


class Signal(NamedTuple):
    """One kind of registration-day interaction.

    Attributes
    ----------
    name : str
        Its block's name.
    action, entity : str
        As in the interactions table.
    follows_tracks : bool
        Whether doing this to a track also counts for the track's artist and album, so that an
        artist or album block gathers the track events too.
    """

    name: str
    action: str
    entity: str
    follows_tracks: bool = False


SIGNALS: tuple[Signal, ...] = (
    Signal("favorite_songs", "favorite", "track"),
    Signal("favorite_artists", "favorite", "artist"),
    Signal("favorite_albums", "favorite", "album"),
    Signal("favorite_playlists", "favorite", "playlist"),
    Signal("onboarding_like_artists", "onboarding", "artist"),
    Signal("skipped_songs", "skip", "track"),
    Signal("skipped_artists", "skip", "artist", follows_tracks=True),
    Signal("skipped_albums", "skip", "album", follows_tracks=True),
    Signal("streamed_songs", "stream", "track"),
    Signal("streamed_artists", "stream", "artist", follows_tracks=True),
    Signal("streamed_albums", "stream", "album", follows_tracks=True),
    Signal("banned_songs", "ban", "track"),
    Signal("banned_artists", "ban", "artist", follows_tracks=True),
    Signal("banned_albums", "ban", "album", follows_tracks=True),
    Signal("search_songs", "search", "track"),
    Signal("search_artists", "search", "artist"),
    Signal("search_albums", "search", "album"),
    Signal("search_playlists", "search", "playlist"),
)
"""The 18 signals, in the order of their blocks."""

BLOCKS: tuple[str, ...] = ("age", "country", *(signal.name for signal in SIGNALS))
"""Names of the 20 blocks."""

_SCALAR_ORDER = (
    "favorite_songs",
    "favorite_albums",
    "favorite_artists",
    "favorite_playlists",
    "skipped_songs",
    "skipped_artists",
    "skipped_albums",
    "banned_songs",
    "banned_artists",
    "banned_albums",
    "streamed_songs",
    "streamed_artists",
    "streamed_albums",
    "search_songs",
    "search_albums",
    "search_artists",
    "search_playlists",
    "onboarding_like_artists",
)

SCALARS: tuple[str, ...] = ("age_value", *(f"nb_{name}" for name in _SCALAR_ORDER))
"""Names of the 19 scalars: the age in years, then events of each signal."""

SCALAR_SIGNALS: tuple[int, ...] = tuple(
    [signal.name for signal in SIGNALS].index(name) for name in _SCALAR_ORDER
)
"""For each scalar after the age, the place of its signal in :data:`SIGNALS`."""


def signal_place(name: str) -> int:
    """Place of a signal in :data:`SIGNALS`.

    Examples
    --------
    >>> signal_place("streamed_songs")
    8
    """
    return [signal.name for signal in SIGNALS].index(name)


def width(dimension: int) -> int:
    """Width of the input vector in a space of ``dimension`` d.

    Examples
    --------
    >>> width(128), width(256)
    (2579, 5139)
    """
    return len(BLOCKS) * dimension + len(SCALARS)
