"""HLR: relations of a track to a user and to what the user streamed (Tran et al., RecSys 2021)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.base import Pairs, Relation, attention, recalled

__all__ = ["Hlr"]


class Hlr(Relation):
    """``r = sum_x w_x r_x`` over the user and the streamed tracks x, w the softmax of ``u.r_x``.

    Each ``r_x = softmax((v * x) K) M`` is what is recalled for the track v and x.
    """

    memory = True

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """See :meth:`Relation.between`."""
        others = xp.concatenate([pairs.users, pairs.history], 1)
        known = xp.concatenate([xp.ones_like(pairs.known[..., :1]), pairs.known], -1)
        slots = attention(xp, pairs.tracks, others, pairs.keys)
        return recalled(xp, slots, pairs.users @ pairs.memory.T, known) @ pairs.memory
