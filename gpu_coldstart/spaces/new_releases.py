"""Places for tracks without history: those of tracks of their album or the like, or their sound."""

from __future__ import annotations

from dataclasses import replace

from gpu_coldstart.config.parameters import NewReleasesConfig
from gpu_coldstart.data.catalogue import owners
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces.base import Space
from gpu_coldstart.spaces.similarity import Retriever

__all__ = ["place", "with_new_releases"]


def place(
    engine: Engine, logs: Logs, tracks: Array, new: Array, options: NewReleasesConfig
) -> tuple[Array, Array]:
    """Give new tracks the mean place of others that share their album, artist, genre or sound.

    By sound, these are the nearest by the cosine.

    The mean is left as long as it is: by the inner product, a new track scores what the others
    score on average, so the less they agree, the less it stands out.

    Parameters
    ----------
    tracks : Array [tracks, d] of float32
        Places; null rows say nothing.
    new : Array [tracks] of bool
        Tracks whose own rows are not looked at.
    options : NewReleasesConfig
        Its ``sources`` are what to try, in this order.

    Returns
    -------
    placed : Array [tracks, d] of float32
        New tracks are null where no source has a place to give; the others are as they were.
    source : Array [tracks] of int32
        Which of the sources gave a new track its place; -1 for none, and for all other tracks.
    """
    xp = engine.xp
    known = ~new & (tracks != 0).any(axis=1)
    placed, source = tracks.copy(), xp.full(logs.n_tracks, -1, dtype=xp.int32)
    placed[new] = 0
    for code, kind in enumerate(options.sources):
        wanted = new & (source < 0)
        if kind == "sound":
            weights, row = _by_sound(engine, logs, known, wanted, options.neighbours)
        else:
            weights, row = _by_group(engine, logs, known, kind)
        given = xp.flatnonzero(wanted & (xp.diff(weights.indptr) > 0)[row])
        met, which = xp.unique(row[given], return_inverse=True)
        placed[given] = engine.pool(weights, tracks, rows=met.astype(xp.int64))[which]
        source[given] = code
    return placed, source


def _by_group(engine: Engine, logs: Logs, known: Array, kind: str) -> tuple[Csr, Array]:
    """Known tracks of each album, artist or genre, and each track's row among these [tracks].

    There is one row more than there are groups: -1, for none, finds the last one, which is empty.
    """
    xp = engine.xp
    group, size = _groups(engine, logs, kind)
    others = xp.flatnonzero(known & (group >= 0))
    once = xp.ones(len(others), dtype=xp.float32)
    return engine.csr(group[others], others, once, (size + 1, logs.n_tracks)), group


def _by_sound(
    engine: Engine, logs: Logs, known: Array, wanted: Array, neighbours: int
) -> tuple[Csr, Array]:
    """Known tracks that sound most like each wanted one; otherwise as :func:`_by_group`."""
    xp = engine.xp
    row = xp.full(logs.n_tracks, -1, dtype=xp.int32)
    sound = logs.sound if logs.sound is not None else xp.zeros((logs.n_tracks, 0))
    heard = (sound != 0).any(axis=1)
    others, given = xp.flatnonzero(known & heard), xp.flatnonzero(wanted & heard)
    near = xp.zeros((0, 0), dtype=xp.int64)
    if len(others) and len(given):
        retriever = Retriever(engine, sound[others], "cosine")
        near, _ = retriever.rank(sound[given], min(neighbours, len(others)))
        row[given] = xp.arange(len(given), dtype=xp.int32)
    rows = xp.repeat(xp.arange(near.shape[0]), near.shape[1])
    once = xp.ones(len(rows), dtype=xp.float32)
    shape = (near.shape[0] + 1, logs.n_tracks)
    return engine.csr(rows, others[near.ravel()], once, shape), row


def _groups(engine: Engine, logs: Logs, kind: str) -> tuple[Array, int]:
    """Number of each track's album, artist or genre [tracks] of int32, -1 for none; their bound."""
    if kind == "genre":
        return logs.genre, len(logs.genres)
    rows = {"artist": logs.artists, "album": logs.albums}[kind]
    return owners(engine, logs.members, rows.start, rows.stop), rows.stop


def with_new_releases(
    engine: Engine, logs: Logs, space: Space, options: NewReleasesConfig
) -> Space:
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
    tracks, source = place(engine, logs, space.tracks, new, options)
    counts = {kind: int((source == code).sum()) for code, kind in enumerate(options.sources)}
    by = ", ".join(f"{count} by {kind}" for kind, count in counts.items())
    left = n_new - sum(counts.values())
    note = f"{n_new} tracks without history were placed in {space.name}: {by}, {left} not at all"
    return replace(space, tracks=tracks, notes=(*space.notes, note))
