"""Places for tracks without history: those of their album's, artist's or genre's tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpu_coldstart.data.catalogue import owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Engine
from gpu_coldstart.spaces.base import Space

__all__ = ["place", "with_new_releases"]


def place(
    engine: Engine, logs: Logs, tracks: Array, new: Array, sources: Sequence[str]
) -> tuple[Array, Array]:
    """Give new tracks the mean place of the others that share their album, artist or genre.

    The mean is left as long as it is: by the inner product, a new track scores what the others
    score on average, so the less they agree, the less it stands out.

    Parameters
    ----------
    tracks : Array [tracks, d] of float32
        Places; null rows say nothing.
    new : Array [tracks] of bool
        Tracks whose own rows are not looked at.
    sources : sequence of {"album", "artist", "genre"}
        What to try, in this order.

    Returns
    -------
    placed : Array [tracks, d] of float32
        New tracks are null where no source has a place to give; the others are as they were.
    source : Array [tracks] of int32
        Which of ``sources`` gave a new track its place; -1 for none, and for all other tracks.
    """
    xp = engine.xp
    known = ~new & (tracks != 0).any(axis=1)
    placed, source = tracks.copy(), xp.full(logs.n_tracks, -1, dtype=xp.int32)
    placed[new] = 0
    for code, kind in enumerate(sources):
        group, size = _groups(engine, logs, kind)
        others = xp.flatnonzero(known & (group >= 0))
        once = xp.ones(len(others), dtype=xp.float32)
        # One group more than there are: a group of -1 finds the last one, which is empty.
        weights = engine.csr(group[others], others, once, (size + 1, logs.n_tracks))
        placeable = (xp.diff(weights.indptr) > 0)[group]
        given = xp.flatnonzero(new & (source < 0) & placeable)
        met, which = xp.unique(group[given], return_inverse=True)
        placed[given] = engine.pool(weights, tracks, rows=met.astype(xp.int64))[which]
        source[given] = code
    return placed, source


def _groups(engine: Engine, logs: Logs, kind: str) -> tuple[Array, int]:
    """Number of each track's album, artist or genre [tracks] of int32, -1 for none; their bound."""
    if kind == "genre":
        return logs.genre, len(logs.genres)
    rows = {"artist": logs.artists, "album": logs.albums}[kind]
    return owners(engine, logs.members, rows.start, rows.stop), rows.stop


def with_new_releases(engine: Engine, logs: Logs, space: Space, sources: Sequence[str]) -> Space:
    """The space, with tracks without history placed by others; a note says how many.

    Such a track was never streamed or made a favourite by a warm user and is in no playlist, or in
    none that the space learned from. What UT-ALS knows of it by a favourite artist or album is not
    its own. Places of users stay.
    """
    xp = engine.xp
    listed = engine.take_rows(logs.members, xp.arange(logs.members.shape[0])[logs.playlists])

    def without(tracks: Array) -> Array:
        return xp.bincount(tracks, minlength=logs.n_tracks) == 0

    liked = logs.favorites.indices
    new = without(logs.history.indices) & without(liked[liked < logs.n_tracks])
    new &= without(listed.indices) | ~(space.tracks != 0).any(axis=1)
    n_new = int(new.sum())
    if not n_new:
        return space
    tracks, source = place(engine, logs, space.tracks, new, sources)
    counts = {kind: int((source == code).sum()) for code, kind in enumerate(sources)}
    by = ", ".join(f"{count} by {kind}" for kind, count in counts.items())
    left = n_new - sum(counts.values())
    note = f"{n_new} tracks without history were placed in {space.name}: {by}, {left} not at all"
    return replace(space, tracks=tracks, notes=(*space.notes, note))
