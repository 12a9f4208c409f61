"""HLR++: a user's relations to tracks and a track's to tracks, apart (Tran et al., RecSys 2021)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.base import Pairs, Relation, attention, recalled, weights

__all__ = ["HlrPlus"]


class HlrPlus(Relation):
    """``r = sum_x w_x s_x + sum_x w'_x r_x``, both from the same memory.

    The first sum is over the track v and the streamed tracks x, of what is recalled for the user,
    ``s_x = softmax((u * x) K) M``, with w the softmax of ``v.s_x``. The second is over the streamed
    tracks, of what is recalled for the track, ``r_x = softmax((v * x) K) M``, with w' that of
    ``u.r_x``.
    """

    memory = True

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """See :meth:`Relation.between`."""
        users, tracks, keys, memory = pairs.users, pairs.tracks, pairs.keys, pairs.memory
        to_track = attention(xp, tracks, users, keys)[:, :, 0]
        to_others = attention(xp, users, pairs.history, keys)[:, 0]
        by = tracks @ memory.T
        logits = [(to_track * by).sum(-1, keepdims=True), by @ to_others.swapaxes(1, 2)]
        known = [xp.ones_like(logits[0]), pairs.known + xp.zeros_like(logits[1])]
        w = weights(xp, xp.concatenate(logits, -1), xp.concatenate(known, -1))
        of_user = w[..., :1] * to_track + w[..., 1:] @ to_others
        slots = attention(xp, tracks, pairs.history, keys)
        return (of_user + recalled(xp, slots, users @ memory.T, pairs.known)) @ memory
