"""AttCML: a user moved towards those streamed tracks that are like the one in question."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.base import Pairs, Relation, weights

__all__ = ["AttCml"]


class AttCml(Relation):
    """``r = sum_x softmax(v.x) x`` over the streamed tracks x."""

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """See :meth:`Relation.between`."""
        alike = pairs.tracks @ pairs.history.swapaxes(1, 2)
        return weights(xp, alike, pairs.known) @ pairs.history
