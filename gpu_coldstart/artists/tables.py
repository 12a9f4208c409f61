"""Tables of tracks whose artists are to be told apart, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.artists.audio import heard
from gpu_coldstart.artists.model import Tracks
from gpu_coldstart.config.artists import ArtistsConfig
from gpu_coldstart.data.contract import SCHEMAS
from gpu_coldstart.data.files import open_table
from gpu_coldstart.data.ids import as_text, is_string
from gpu_coldstart.data.plain import plain
from gpu_coldstart.data.problems import Problem, refuse
from gpu_coldstart.data.tables import present
from gpu_coldstart.datasets.events import tables
from gpu_coldstart.engine.types import HostArray
from gpu_coldstart.errors import UserError

__all__ = ["Catalogue", "read", "with_artists"]

_TEXTS = ("track_id", "artist_id", "genre")


@dataclass(frozen=True)
class Catalogue:
    """A table of tracks.

    Attributes
    ----------
    table : pa.Table
        All columns that it has; of a CSV file, those of the data contract.
    tracks, artists, genres : list
        Ids and names as text, None for null.
    """

    table: pa.Table
    tracks: list[str]
    artists: list[str | None]
    genres: list[str | None]

    def rows(self, audio: Collection[str], wanted: Callable[[str | None], bool]) -> HostArray:
        """Rows of the tracks with sound of some artists [n] of int64."""
        pairs = enumerate(zip(self.tracks, self.artists, strict=True))
        chosen = [row for row, (track, artist) in pairs if track in audio and wanted(artist)]
        return np.array(chosen, np.int64)

    def by_artist(self, audio: Collection[str]) -> list[tuple[str, HostArray]]:
        """Each artist with sound, in the order of their ids, and the rows of the tracks with it."""
        found: dict[str, list[int]] = {}
        for row in self.rows(audio, lambda artist: artist is not None).tolist():
            found.setdefault(str(self.artists[row]), []).append(row)
        return [(artist, np.array(rows)) for artist, rows in sorted(found.items())]

    def hear(
        self,
        rows: HostArray,
        audio: Mapping[str, Path],
        options: ArtistsConfig,
        progress: Callable[[int], None] | None = None,
    ) -> Tracks:
        """The sound of some tracks."""
        artists = [str(self.artists[row]) for row in rows]
        names, numbers = np.unique(artists, return_inverse=True)
        genres = pa.array([self.genres[row] for row in rows], pa.string()).dictionary_encode()
        codes = genres.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        sound = heard([audio[self.tracks[row]] for row in rows], options, progress)
        return Tracks(sound, numbers.astype(np.int64), codes, tuple(names.tolist()))


def read(directory: Path) -> Catalogue:
    """The table of tracks in a directory of tables.

    Raises
    ------
    UserError
        When it is missing, damaged, has no artists, or a track twice.
    """
    path = tables(directory).get("tracks")
    if path is None:
        raise UserError(f"{directory} holds no tracks.parquet: name the directory of your tables")
    opened = open_table(path, "tracks")
    table = opened.read(list(opened.types) if not opened.is_text else _known(opened.types))
    problems: list[Problem] = []
    texts: dict[str, list[Any]] = {}
    for field in present(opened, (), problems).values():
        column, wrong = plain(table[field.name], field, opened)
        problems += wrong
        if not wrong:
            table = table.set_column(table.column_names.index(field.name), field.name, column)
            if field.name in _TEXTS:
                texts[field.name] = as_text(column).to_pylist()
    refuse(problems)
    for name in ("track_id", "artist_id"):
        if name not in texts:
            raise UserError(f"{path} has no column '{name}': add it")
    tracks = texts["track_id"]
    if None in tracks or len(set(tracks)) < len(tracks):
        raise UserError(f"{path}, column 'track_id' has a null or an id twice: keep one row each")
    nothing: list[str | None] = [None] * len(tracks)
    return Catalogue(table, tracks, texts["artist_id"], texts.get("genre", nothing))


def _known(types: Mapping[str, pa.DataType]) -> list[str]:
    return [field.name for field in SCHEMAS["tracks"] if field.name in types]


def with_artists(catalogue: Catalogue, parts: Mapping[int, int]) -> pa.Table:
    """The table with an artist made several.

    The tracks of an artist's part 0 keep the id. Each other part gets a new one: text gets a number
    that makes it another, as ``id#2``, and integers go on after the largest.

    Parameters
    ----------
    catalogue : Catalogue
    parts : mapping of int to int
        The part of a row's artist, where it is not 0.
    """
    place = catalogue.table.column_names.index("artist_id")
    column = catalogue.table["artist_id"]
    text = is_string(column.type)
    taken = set(catalogue.artists)
    following = 0 if text else int(pc.max(column).as_py() or 0) + 1
    ids = column.to_pylist()
    given: dict[tuple[object, int], object] = {}
    for row, part in sorted(parts.items()):
        key = (ids[row], part)
        if key not in given:
            if text:
                number = part + 1
                while f"{ids[row]}#{number}" in taken:
                    number += 1
                given[key] = f"{ids[row]}#{number}"
                taken.add(str(given[key]))
            else:
                given[key] = following
                following += 1
        ids[row] = given[key]
    made = pa.array(ids, pa.string() if text else pa.int64())
    return catalogue.table.set_column(place, "artist_id", made)
