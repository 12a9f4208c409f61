"""What an embedding space is (3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.scoring import Relations

__all__ = ["Progress", "Space", "silent", "unit_rows"]

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the steps done, their total, and a short status."""


def silent(done: int, total: int, words: str) -> None:
    """Progress that nobody follows."""
    del done, total, words


@dataclass(frozen=True)
class Space:
    """Tracks and warm users as points of one space.

    Attributes
    ----------
    name : str
    tracks : Array [tracks, d] of float32
        UT-ALS: as factorised. TT-SVD: unit, or null for a track in no collection with others. CML
        and HLR: in the unit ball, or null for a track that nobody streamed.
        Tracks without history have the place that
        :func:`gpu_coldstart.spaces.new_releases.place` gave them, if any.
    users : Array [warm users, d] of float32
        Unit; CML and HLR: in the unit ball.
    losses : tuple of float
        Objective after each iteration, where the space is fitted by iterations.
    notes : tuple of str
        Caveats for the reader of the results.
    relations : Relations or None
        What scores tracks for a user, where that takes more than their places.
    """

    name: str
    tracks: Array
    users: Array
    losses: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    relations: Relations | None = None

    @property
    def dimension(self) -> int:
        """The dimension d."""
        return int(self.tracks.shape[1])


def unit_rows(vectors: Array) -> Array:
    """Rows scaled to unit length; null rows stay null.

    Examples
    --------
    >>> import numpy as np
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = (vectors * vectors).sum(axis=1, keepdims=True) ** 0.5
    return vectors / (lengths + (lengths == 0))
