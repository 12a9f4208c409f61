"""Soft allocation: the list is shared among the nearest segments."""

from __future__ import annotations

from gpu_coldstart.config.components import SoftConfig
from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy, Users

__all__ = ["SoftAllocation"]

_NO_DISTANCE = 1e-10  # keeps the weight of a segment met exactly finite


class SoftAllocation(Strategy):
    """Favourites of several segments, in proportion to their inverse distance.

    A public re-implementation of the paper proposes this; it takes the segments in no order and
    scores a list with the blend of the user before. Here the nearest segment comes first and
    every list is ordered by the user's own blend (:meth:`Engine.soft_allocate`).
    """

    name = "soft"
    label = "Soft Allocation"

    Parameters = SoftConfig

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        engine = self.context.engine
        segments, weights = self.segments_of(users)
        # Only the segments met are ranked.
        met, place = engine.xp.unique(segments.ravel(), return_inverse=True)
        shares = engine.take_rows(self.context.shares, met)
        place = place.reshape(segments.shape).astype(engine.xp.int32)
        overshoot = self.parameters.overshoot
        return Ranking(*engine.soft_allocate(place, weights, shares, k, overshoot))

    def segments_of(self, users: Users) -> tuple[Array, Array]:
        """The nearest segments, weighted by their inverse distance."""
        centroids = self.context.centroids
        n_segments = min(self.parameters.segments, int(centroids.shape[0]))
        segments, distances = self.context.engine.nearest(users.predicted, centroids, n_segments)
        weights = 1.0 / (distances + _NO_DISTANCE)
        return segments, weights / weights.sum(axis=1, keepdims=True)
