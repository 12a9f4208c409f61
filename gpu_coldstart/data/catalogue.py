"""Tracks, and the artists, albums and playlists that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_coldstart.data.numbering import Numbering
from gpu_coldstart.data.tables import Tables
from gpu_coldstart.engine.base import Array, Column, Csr, Engine
from gpu_coldstart.errors import UserError

__all__ = ["Catalogue", "entries", "owners", "read"]


@dataclass(frozen=True)
class Catalogue(Numbering):
    """All entities, numbered tracks, artists, albums, playlists, one after another.

    Attributes
    ----------
    ids : dict of kind to Array of int64
        Ids of each kind of entity; ascending, but for tracks once :meth:`by_popularity` ran.
    artist, album : Array [tracks] of int32
        Entity number of the track's artist and album; -1 where it has none.
    genre : Array [tracks] of int32
        Index into ``genres``; -1 where unknown.
    genres : tuple of str
    listed : (Array [rows] of int32, Array [rows] of int32)
        Playlist, counted from the first one, and track of each row of the playlists table; the
        track is -1 where it is unknown.
    """

    ids: dict[str, Array]
    artist: Array
    album: Array
    genre: Array
    genres: tuple[str, ...]
    listed: tuple[Array, Array]

    def ids_of(self, kind: str) -> Array:
        """See :meth:`Numbering.ids_of`."""
        return self.ids[kind]

    def by_popularity(self, engine: Engine, popularity: Array) -> tuple[Catalogue, Array]:
        """Renumber tracks, the most popular first, equals by smaller id.

        Parameters
        ----------
        popularity : Array [tracks] of integers

        Returns
        -------
        catalogue : Catalogue
        place : Array [entities] of int32
            New number of each entity; only tracks move.
        """
        xp = engine.xp
        n_tracks = len(self.ids["track"])
        order = xp.lexsort(xp.stack([xp.arange(n_tracks), -popularity]))
        place = xp.arange(self.n_entities, dtype=xp.int32)
        place[order] = xp.arange(n_tracks, dtype=xp.int32)
        playlists, tracks = self.listed
        moved = replace(
            self,
            ids={**self.ids, "track": self.ids["track"][order]},
            artist=self.artist[order],
            album=self.album[order],
            genre=self.genre[order],
            listed=(playlists, xp.where(tracks >= 0, place[tracks], -1).astype(xp.int32)),
        )
        return moved, place

    def members(self, engine: Engine, counted: Array) -> Csr:
        """The tracks of each entity [entities, tracks]; a track's only member is itself.

        Parameters
        ----------
        counted : Array [rows] of bool
            Which rows of the playlists table to believe.
        """
        xp = engine.xp
        every = xp.arange(len(self.ids["track"]), dtype=xp.int32)
        playlists, tracks = self.listed
        counted = counted & (tracks >= 0)
        rows = [
            every,
            self.artist[self.artist >= 0],
            self.album[self.album >= 0],
            playlists[counted] + self.first("playlist"),
        ]
        columns = [every, every[self.artist >= 0], every[self.album >= 0], tracks[counted]]
        places = (xp.concatenate(rows), xp.concatenate(columns))
        once = xp.ones(len(places[0]), dtype=xp.float32)
        members = engine.csr(*places, once, (self.n_entities, len(every)))
        # A track listed twice in a playlist is still one member of it.
        return members.with_data(xp.ones(members.nnz, dtype=xp.float32))


def entries(engine: Engine, matrix: Csr) -> tuple[Array, Array]:
    """Row and column of each stored entry, int32."""
    xp = engine.xp
    # How many rows begin at each entry, added up: several times faster than to look each up.
    rows = xp.cumsum(xp.bincount(matrix.indptr)[: matrix.nnz]) - 1
    return rows.astype(xp.int32), matrix.indices


def owners(engine: Engine, members: Csr, start: int, stop: int) -> Array:
    """Which of the entities ``start`` to ``stop`` owns each track [tracks] of int32; -1 if none.

    Parameters
    ----------
    members : Csr [entities, tracks]
        Of these entities, no two share a track.
    """
    xp = engine.xp
    owner = xp.full(members.shape[1], -1, dtype=xp.int32)
    rows, tracks = entries(engine, engine.take_rows(members, xp.arange(start, stop)))
    owner[tracks] = rows + start
    return owner


def read(engine: Engine, tables: Tables) -> tuple[Catalogue, list[str]]:
    """Number the entities of the tables, tracks by ascending id at first.

    Returns
    -------
    catalogue : Catalogue
    notes : list of str
        Playlist rows left out for naming unknown tracks.

    Raises
    ------
    UserError
        When more than half of the playlist rows name unknown tracks.
    """
    xp = engine.xp
    order = xp.argsort(tables.tracks["track_id"].values)
    ids = {"track": tables.tracks["track_id"].values[order]}
    owners = {}
    for kind in ("artist", "album"):
        column = tables.tracks.get(f"{kind}_id")
        owners[kind], ids[kind] = _owners(engine, column, order)
    listed, ids["playlist"], notes = _playlists(engine, tables, ids["track"])
    n_tracks, n_artists = len(order), len(ids["artist"])
    artist = _shift(engine, owners["artist"], n_tracks)
    album = _shift(engine, owners["album"], n_tracks + n_artists)
    genre, genres = _genres(engine, tables.tracks.get("genre"), order)
    return Catalogue(ids, artist, album, genre, genres, listed), notes


def _owners(engine: Engine, column: Column | None, order: Array) -> tuple[Array, Array]:
    """Index of each track's owner among the ascending owner ids, -1 where it has none."""
    xp = engine.xp
    if column is None:
        return xp.full(len(order), -1, dtype=xp.int32), xp.zeros(0, dtype=xp.int64)
    values = column.values[order]
    if column.valid is None:
        keys = xp.unique(values)
        return engine.lookup(values, keys), keys
    valid = column.valid[order]
    keys = xp.unique(values[valid])
    return xp.where(valid, engine.lookup(values, keys), -1).astype(xp.int32), keys


def _shift(engine: Engine, owner: Array, first: int) -> Array:
    """Owner index to entity number, keeping -1."""
    xp = engine.xp
    return xp.where(owner >= 0, owner + first, -1).astype(xp.int32)


def _playlists(
    engine: Engine, tables: Tables, track_keys: Array
) -> tuple[tuple[Array, Array], Array, list[str]]:
    """Playlist and track of each row of the playlists table, playlist ids, and notes."""
    xp = engine.xp
    none = xp.zeros(0, dtype=xp.int32)
    if tables.playlists is None:
        return (none, none), xp.zeros(0, dtype=xp.int64), []
    tracks = engine.lookup(tables.playlists["track_id"].values, track_keys)
    unknown = int((tracks < 0).sum())
    if 2 * unknown > len(tracks):
        listing, catalogue = (tables.opened[name].file for name in ("playlists", "tracks"))
        raise UserError(
            f"{listing}, column 'track_id': {unknown} of {len(tracks)} rows name a track that "
            f"{catalogue} does not have: check that both come from the same catalogue"
        )
    ids = xp.unique(tables.playlists["playlist_id"].values)
    playlists = engine.lookup(tables.playlists["playlist_id"].values, ids)
    notes = []
    if unknown:
        notes.append(f"{unknown} of {len(tracks)} playlist rows name unknown tracks; left out")
    return (playlists, tracks), ids, notes


def _genres(engine: Engine, column: Column | None, order: Array) -> tuple[Array, tuple[str, ...]]:
    xp = engine.xp
    if column is None:
        return xp.full(len(order), -1, dtype=xp.int32), ()
    codes = column.values[order]
    if column.valid is not None:
        codes = xp.where(column.valid[order], codes, -1)
    return codes.astype(xp.int32), column.names
