"""Invented names of artists and tracks, for those who look at a synthetic world."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

__all__ = ["named"]

_FIRST = (
    *("Amber", "Ashen", "Azure", "Blue", "Broken", "Calm", "Cobalt", "Copper", "Coral"),
    *("Crooked", "Crystal", "Distant", "Electric", "Elder", "Faded", "Fallen", "Feral"),
    *("Frozen", "Gentle", "Gilded", "Golden", "Hidden", "Hollow", "Indigo", "Iron", "Ivory"),
    *("Jade", "Last", "Little", "Lonely", "Lost", "Lucid", "Lunar", "Marble", "Midnight"),
    *("Narrow", "Neon", "Northern", "Pale", "Paper", "Plain", "Quiet", "Restless", "Rusty"),
    *("Sacred", "Secret", "Silent", "Silver", "Slow", "Solar", "Southern", "Tender", "Tidal"),
    *("Velvet", "Violet", "Wandering", "Wild", "Winter", "Wooden", "Yellow"),
)
_SECOND = (
    *("Anchors", "Arcades", "Birds", "Bridges", "Canyons", "Castles", "Chapels", "Cities"),
    *("Clocks", "Comets", "Corners", "Daughters", "Echoes", "Embers", "Empires", "Engines"),
    *("Fables", "Feathers", "Fields", "Foxes", "Gardens", "Ghosts", "Gulls", "Harbours"),
    *("Horses", "Islands", "Kites", "Ladders", "Lanterns", "Letters", "Lions", "Meadows"),
    *("Mirrors", "Moths", "Oceans", "Orchards", "Owls", "Parades", "Pilots", "Planets"),
    *("Prairies", "Radios", "Rivers", "Rooms", "Sailors", "Satellites", "Seasons", "Shadows"),
    *("Shores", "Sirens", "Sisters", "Sparrows", "Stations", "Strangers", "Streets", "Tides"),
    *("Towers", "Trains", "Valleys", "Wolves"),
)
_FORMS = ("{} {}", "The {} {}", "{} {} Club", "{} {} Orchestra", "{} {} Sound", "{} {} Project")
_LINES = ("{} {}", "{} {} (Live)", "Our {} {}", "Of {} {}", "No More {} {}", "These {} {}")


def named(tracks: pa.Table, seed: int = 0) -> pa.Table:
    """The tracks of a synthetic world with ``title`` and ``artist_name``.

    Parameters
    ----------
    tracks : pyarrow.Table
        By the data contract.
    seed : int
        0 or more.

    Returns
    -------
    pyarrow.Table
        With the two columns more. No two artists share a name, nor do two tracks a title.
    """
    artists = tracks["artist_id"].combine_chunks().dictionary_encode()
    names = _names(_FORMS, len(artists.dictionary), seed)
    titles = _names(_LINES, tracks.num_rows, seed + 1)
    return tracks.append_column("title", titles).append_column(
        "artist_name", names.take(artists.indices)
    )


def _names(forms: tuple[str, ...], n: int, seed: int) -> pa.Array:
    """As many names [n], all different, the plainest forms first."""
    rng, names = np.random.default_rng(seed), list[str]()
    pairs = len(_FIRST) * len(_SECOND)
    for form in _endless(forms):
        if len(names) >= n:
            break
        for pair in rng.permutation(pairs)[: n - len(names)].tolist():
            names.append(form.format(_FIRST[pair // len(_SECOND)], _SECOND[pair % len(_SECOND)]))
    return pa.array(names, pa.string())


def _endless(forms: tuple[str, ...]) -> Iterator[str]:
    """The forms, and then the same again with numbers."""
    yield from forms
    part = 2
    while True:
        yield from (f"{form}, Pt. {part}" for form in forms)
        part += 1
