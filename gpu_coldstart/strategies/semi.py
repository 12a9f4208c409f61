"""Semi-personalised: the popular tracks of the nearest segment (3.2.4), the paper's system."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy, Users, favourites

__all__ = ["SemiPersonalized"]


class SemiPersonalized(Strategy):
    """The favourites of the warm segment whose centroid is nearest to the prediction.

    Scores are the track's share in the segment, as ``segments.popularity`` says. A segment whose
    members know too few tracks is completed by the chart, at score 0.
    """

    name = "semi"
    label = "Semi-Pers."

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        segments, _ = self.segments_of(users)
        return favourites(self.context, self.context.shares, segments[:, 0], k)

    def segments_of(self, users: Users) -> tuple[Array, Array]:
        """The nearest segment, at weight 1."""
        nearest, distance = self.context.engine.nearest(users.predicted, self.context.centroids, 1)
        return nearest, self.context.engine.xp.ones_like(distance)
