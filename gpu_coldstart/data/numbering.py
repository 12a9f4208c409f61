"""How entities are numbered: tracks, artists, albums, playlists, one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

from gpu_coldstart.data.tables import ENTITIES
from gpu_coldstart.engine.base import Array, Engine

__all__ = ["Numbering"]


class Numbering(ABC):
    """Numbers the entities of all kinds, whose ids the class derived from this one has."""

    @abstractmethod
    def ids_of(self, kind: str) -> Array:
        """Ids of the entities of a kind, int64 in the order of their numbers.

        They ascend, but for those of tracks.
        """

    def first(self, kind: str) -> int:
        """Number of the first entity of a kind."""
        before = ENTITIES[: ENTITIES.index(kind)]
        return sum(int(self.ids_of(other).shape[0]) for other in before)

    @property
    def n_entities(self) -> int:
        """Number of entities of all kinds."""
        last = ENTITIES[-1]
        return self.first(last) + int(self.ids_of(last).shape[0])

    @cached_property
    def _tracks_by_id(self) -> Array:
        order: Array = self.ids_of("track").argsort()
        return order

    def numbers(self, engine: Engine, kinds: Array, ids: Array) -> Array:
        """Numbers of entities.

        Parameters
        ----------
        kinds : Array [n] of int32
            Codes into :data:`gpu_coldstart.data.tables.ENTITIES`.
        ids : Array [n] of int64

        Returns
        -------
        Array [n] of int32
            -1 where unknown.
        """
        xp = engine.xp
        numbers = xp.full(len(ids), -1, dtype=xp.int32)
        for code, kind in enumerate(ENTITIES):
            keys = self.ids_of(kind)
            of_kind = (kinds == code).nonzero()[0]
            if not len(of_kind) or not len(keys):
                continue
            by_id = self._tracks_by_id if kind == "track" else None
            place = engine.lookup(ids[of_kind], keys if by_id is None else keys[by_id])
            number = place if by_id is None else by_id[xp.maximum(place, 0)]
            numbers[of_kind] = xp.where(place >= 0, number + self.first(kind), -1)
        return numbers
