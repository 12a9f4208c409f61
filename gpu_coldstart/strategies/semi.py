"""Semi-personalised: the popular tracks of the nearest segment (3.2.4), the paper's system."""

from __future__ import annotations

from gpu_coldstart.engine.base import Array
from gpu_coldstart.strategies.base import Ranking, Strategy

__all__ = ["SemiPersonalized"]


class SemiPersonalized(Strategy):
    """The favourites of the warm segment whose centroid is nearest to the prediction.

    Scores are the track's share in the segment, as ``segments.popularity`` says. A segment whose
    members know too few tracks is completed by the chart, at score 0.
    """

    name = "semi"

    def recommend(self, users: Array, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        situation = self.situation
        favourites, shares = situation.engine.row_top(situation.segments.shares, k)
        nearest, _ = situation.engine.nearest(
            situation.predicted(users), situation.segments.centroids, 1
        )
        return Ranking(favourites[nearest[:, 0]], shares[nearest[:, 0]])
