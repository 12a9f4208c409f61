"""What people call tracks and playlists, where the data set says so."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.data.ids import Vocabulary
from gpu_coldstart.engine.base import Column, Engine
from gpu_coldstart.engine.types import HostArray

__all__ = ["Names", "Titles"]


def _no_ids() -> HostArray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Names:
    """A name for each id, in host memory.

    Attributes
    ----------
    ids : HostArray [n] of int64
        Ascending; empty where the data set has no such column.
    words : Vocabulary
        In the same order; empty for an id without a name.
    """

    ids: HostArray = field(default_factory=_no_ids)
    words: Vocabulary = field(default_factory=Vocabulary)

    @classmethod
    def of(cls, engine: Engine, ids: Column, names: Column | None) -> Names:
        """From columns of a table; of an id in several rows, the name in the first."""
        if names is None:
            return cls()
        keys, rows = np.unique(engine.to_host(ids.values), return_index=True)
        if not len(keys):
            return cls()
        codes = engine.to_host(names.values)[rows]
        known = np.ones(len(rows), bool)
        if names.valid is not None:
            known = engine.to_host(names.valid)[rows]
        places = pa.array(np.where(known, codes, len(names.names)))
        words = pa.array([*names.names, ""], pa.large_string()).take(places)
        return cls(keys, Vocabulary.of(words))

    def __bool__(self) -> bool:
        """Whether there are names at all."""
        return len(self.ids) > 0

    def take(self, ids: HostArray) -> pa.Array:
        """The names of known ids, read row by row; null for an id without one."""
        flat = np.asarray(ids).ravel()
        if not self:
            return pa.nulls(len(flat), pa.string())
        words = self.words.words.take(pa.array(np.searchsorted(self.ids, flat)))
        words = words.cast(pa.string())
        return pc.if_else(pc.equal(words, ""), pa.scalar(None, pa.string()), words)


@dataclass(frozen=True)
class Titles:
    """Names of tracks, of their artists (by track), and of playlists."""

    track: Names = field(default_factory=Names)
    artist: Names = field(default_factory=Names)
    playlist: Names = field(default_factory=Names)

    @classmethod
    def of(
        cls, engine: Engine, tracks: dict[str, Column], playlists: dict[str, Column] | None
    ) -> Titles:
        """From the tables of the data contract."""
        track = tracks["track_id"]
        return cls(
            Names.of(engine, track, tracks.get("title")),
            Names.of(engine, track, tracks.get("artist_name")),
            Names()
            if playlists is None
            else Names.of(engine, playlists["playlist_id"], playlists.get("title")),
        )

    def of_tracks(self, ids: HostArray) -> dict[str, pa.Array]:
        """Columns ``title`` and ``artist_name`` of tracks; those that the data set has."""
        columns = {"title": self.track, "artist_name": self.artist}
        return {name: names.take(ids) for name, names in columns.items() if names}

    def of_playlists(self, ids: HostArray) -> dict[str, pa.Array]:
        """The column ``title`` of playlists, if the data set has it."""
        return {"title": self.playlist.take(ids)} if self.playlist else {}
