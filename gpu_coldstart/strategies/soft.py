"""Soft allocation: the list is shared among the nearest segments."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy

__all__ = ["SoftAllocation"]

_NO_DISTANCE = 1e-10  # keeps the weight of a segment met exactly finite


class SoftAllocation(Strategy):
    """Favourites of several segments, in proportion to their inverse distance.

    A public re-implementation of the paper proposes this; it takes the segments in no order and
    scores a list with the blend of the user before. Here the nearest segment comes first and
    every list is ordered by the user's own blend (:meth:`Engine.soft_allocate`).
    """

    name = "soft"

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        situation, options = self.situation, self.situation.config.strategies
        n_segments = min(options.soft_segments, int(situation.segments.centroids.shape[0]))
        segments, distances = situation.engine.nearest(
            situation.predicted(users), situation.segments.centroids, n_segments
        )
        weights = 1.0 / (distances + _NO_DISTANCE)
        weights = weights / weights.sum(axis=1, keepdims=True)
        return Ranking(
            *situation.engine.soft_allocate(
                segments, weights, situation.segments.shares, k, options.soft_overshoot
            )
        )
