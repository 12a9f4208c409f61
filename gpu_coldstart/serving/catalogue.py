"""A model's catalogue as a service looks things up in it, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpu_coldstart.data.contract import ENTITIES
from gpu_coldstart.data.newcomers import Entities
from gpu_coldstart.engine.base import Engine, HostArray

__all__ = ["Catalogue", "Found", "Id", "Track"]

Id = int | str
"""An id of the service's own."""


class Track(NamedTuple):
    """A track in a list; ``title`` and ``artist_name`` are None where the model has none."""

    id: Id
    title: str | None
    artist_name: str | None
    score: float


class Found(NamedTuple):
    """Something found by its name; the name is its id where it has no other."""

    id: Id
    name: str


@dataclass(frozen=True)
class Catalogue:
    """Everything that has an id.

    Attributes
    ----------
    numbers : dict of kind to dict
        From the text of an id to the number among all entities.
    ids, titles, artists : list [tracks]
        Of each track its id, its title and its artist's name, most popular first.
    names : dict of kind to list of (str, Found)
        Tracks and artists, the most popular first, with their names in small letters.
    """

    numbers: dict[str, dict[str, int]]
    ids: list[Id]
    titles: list[str | None]
    artists: list[str | None]
    names: dict[str, list[tuple[str, Found]]]

    @classmethod
    def of(cls, engine: Engine, entities: Entities) -> Catalogue:
        """What a model knows by name."""
        host = {kind: engine.to_host(entities.ids_of(kind)) for kind in ENTITIES}
        own = {kind: entities.names.names(kind, ids).to_pylist() for kind, ids in host.items()}
        numbers = {
            kind: {str(each): number for number, each in enumerate(ids, entities.first(kind))}
            for kind, ids in own.items()
        }
        titles, artists = (
            names.take(host["track"]).to_pylist()
            for names in (entities.titles.track, entities.titles.artist)
        )
        tracks = [
            Found(each, title or str(each))
            for each, title in zip(own["track"], titles, strict=True)
        ]
        places = engine.to_host(entities.artist) - entities.first("artist")
        makers = _by_popularity(places, own["artist"], artists)
        names = {
            kind: [(found.name.casefold(), found) for found in all_of_them]
            for kind, all_of_them in (("track", tracks), ("artist", makers))
        }
        return cls(numbers, own["track"], titles, artists, names)

    def number(self, kind: str, entity: Id) -> int:
        """The number of an entity; -1 for one that the model does not know."""
        return self.numbers[kind].get(str(entity), -1)

    def listed(self, tracks: HostArray, scores: HostArray) -> tuple[Track, ...]:
        """A list of tracks [k], by number, with their scores."""
        ids, titles, artists = self.ids, self.titles, self.artists
        return tuple(
            Track(ids[place], titles[place], artists[place], score)
            for place, score in zip(tracks.tolist(), scores.tolist(), strict=True)
        )

    def search(self, kind: str, text: str, limit: int) -> list[Found]:
        """Those whose name holds some text, in any letters; the most popular first."""
        wanted, found = text.casefold(), []
        for name, each in self.names[kind]:
            if wanted in name:
                found.append(each)
                if len(found) == limit:
                    break
        return found


def _by_popularity(
    artist: HostArray, ids: Sequence[Id], names: Sequence[str | None]
) -> list[Found]:
    """Artists in the order of their most popular track, with the names that it gives them.

    Parameters
    ----------
    artist : HostArray [tracks] of integers
        Place of each track's artist in ``ids``; below 0 without one.
    names : sequence [tracks]
        Of each track's artist.
    """
    places, first = np.unique(artist, return_index=True)
    by_track = sorted(zip(first.tolist(), places.tolist(), strict=True))
    there = ((track, place) for track, place in by_track if place >= 0)
    return [Found(ids[place], names[track] or str(ids[place])) for track, place in there]
