"""LRML: a relation recalled for each pair (Tay, Tuan & Hui 2018)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.base import Pairs, Relation, attention

__all__ = ["Lrml"]


class Lrml(Relation):
    """``r = softmax((u * v) K) M``."""

    memory = True

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """See :meth:`Relation.between`."""
        return attention(xp, pairs.tracks, pairs.users, pairs.keys)[:, :, 0] @ pairs.memory
