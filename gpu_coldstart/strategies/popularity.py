"""Popularity: the chart, the same for everyone (4.1.3)."""

from __future__ import annotations

from gpu_coldstart.strategies.base import Ranking, Strategy, Users

__all__ = ["Popularity"]


class Popularity(Strategy):
    """The tracks that most warm users streamed, scored as ``segments.popularity`` says."""

    name = "popularity"
    label = "Popularity"
    uses_prediction = False

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        return self.context.most_popular(len(users), k)
