"""TransCF: a relation of a user's tracks and a track's users (Park et al. 2018)."""

from __future__ import annotations

from typing import Any

from gpu_coldstart.engine.base import Array
from gpu_coldstart.spaces.relations.base import Pairs, Relation, apart, mean_of

__all__ = ["TransCf"]


class TransCf(Relation):
    """``r = n_u * n_v``, of the mean n_u of the user's tracks and n_v of the track's users."""

    audience = True

    @staticmethod
    def between(xp: Any, pairs: Pairs) -> Array:
        """See :meth:`Relation.between`."""
        del xp
        return mean_of(pairs.known, pairs.history) * pairs.audience

    @staticmethod
    def penalty(pairs: Pairs, between: Array) -> Array:
        """``|u - n_u|^2 + |v - n_v|^2 + |u + r - v|^2``: to lie near neighbours, and each other."""
        theirs = mean_of(pairs.known, pairs.history)
        from_neighbours = (pairs.users - theirs) ** 2 + (pairs.tracks - pairs.audience) ** 2
        return from_neighbours.sum(-1) + apart(pairs, between)
